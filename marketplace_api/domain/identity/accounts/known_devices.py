"""Devices and networks that an account knows: from there its owner may log in, whatever strangers do elsewhere.

Known is where a session of the account began or was refreshed, as long as its row is kept: by the device's name at its
address, or by the network. A device that comes from anywhere shows the last refresh token that it had, even if that
session is over. What sessions were ended for because somebody else may have had them is not known.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database import row_security
from marketplace_api.domain.identity.accounts import refresh_tokens
from marketplace_api.domain.identity.accounts.config import AccountRules
from marketplace_api.domain.identity.accounts.login_throttle import Known, network_of
from marketplace_api.domain.kernel.tokens import hash_opaque
from marketplace_api.errors import Unauthenticated
from marketplace_api.models.identity.accounts import AccountSession

MOST_PLACES = 100
"""So many pairs of device and address are looked at, the latest ones."""
TRUSTED_ENDS = ("logged_out", "deactivated", "roles_changed")

_s = AccountSession.__table__.c
_TRUSTED = sa.and_(
    _s.user_id == sa.bindparam("user_id", type_=sa.BigInteger),
    sa.or_(_s.ended_at.is_(None), _s.end_reason.in_(TRUSTED_ENDS)),
)
_PLACES = (
    sa.select(_s.device, _s.address)
    .where(_TRUSTED)
    .group_by(_s.device, _s.address)
    .order_by(sa.func.max(_s.last_used).desc())
    .limit(MOST_PLACES)
)
_SESSION = sa.select(_s.refresh_nonce, _s.refresh_hash).where(
    _TRUSTED, _s.session_id == sa.bindparam("session_id", type_=sa.BigInteger)
)


def recognise(
    session: Session,
    rules: AccountRules,
    user_id: int | None,
    *,
    device: str,
    address: str,
    refresh_token: str | None = None,
) -> Known:
    """What the account ``user_id`` knows of a caller; an account that there is not is asked about in the same time."""
    values = {"user_id": user_id or 0}
    with row_security.elevated(session):
        places = session.execute(_PLACES, values).all()
        shown = _session_of(session, rules, values, refresh_token)
    if shown is not None:
        return Known(device=session_name(shown))
    return _at(places, device, address)


def session_name(session_id: int | None) -> str:
    """The device that holds a session, for :class:`Known`."""
    return f"session:{session_id}"


def _session_of(session: Session, rules: AccountRules, values: dict[str, int], refresh_token: str | None) -> int | None:
    """The id of the account's session that a token was made for, whether or not it is the present one."""
    try:
        token = refresh_tokens.parse(refresh_token or "")
    except Unauthenticated:
        return None
    row = session.execute(_SESSION, {**values, "session_id": token.session_id}).one_or_none()
    if row is None:
        return None
    is_current = hmac.compare_digest(hash_opaque(token.text), row.refresh_hash)
    return token.session_id if is_current or token.was_made(rules, row.refresh_nonce) else None


def _at(places: Sequence[Any], device: str, address: str) -> Known:
    if not address:
        return Known()
    network = network_of(address)
    here = [place for place in places if network_of(place.address) == network]
    if device and any(place.device == device for place in here):
        return Known(device=f"agent:{network.decode(errors='replace')}:{device}", at_home=True)
    return Known(at_home=bool(here))
