"""Tokens that were sent by e-mail: using them up, making them void, and the row that undoes a change of address."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database import row_security
from marketplace_api.domain.identity.accounts import errors, queries
from marketplace_api.domain.identity.accounts.config import AccountRules
from marketplace_api.domain.kernel.tokens import hash_opaque, new_opaque
from marketplace_api.models.identity.accounts import OneTimeToken, User
from marketplace_api.models.kernel.events import Event

_t = OneTimeToken.__table__.c
_USABLE = sa.and_(
    _t.token_hash == sa.bindparam("hashed"),
    _t.purpose == sa.bindparam("for_purpose"),
    _t.used_at.is_(None),
    _t.expires_at > sa.func.now(),
)


def offer_undo(session: Session, rules: AccountRules, event: Event, former: str, now: datetime) -> None:
    """Let the change of address that ``event`` tells of be undone from the ``former`` one, for some days from ``now``.

    Nobody knows the token of this row: one that is sent takes its place.
    """
    row = OneTimeToken(user_id=event.subject_id, purpose=queries.UNDO_EMAIL, email=former, event_id=event.event_id)
    row.token_hash, row.expires_at = hash_opaque(new_opaque()), now + rules.email_undo_lifetime
    session.add(row)
    session.flush()


def redeem(session: Session, token: str, purpose: str) -> tuple[User, Any, datetime]:
    """Use a token up: the locked account, whose transaction it is from here on, the token's row (``email``, ``event_id``)
    and the time by the database. Raises :class:`Invalid` ``invalid_token``; of two at the same moment one wins."""
    named = {"hashed": hash_opaque(token), "for_purpose": purpose}
    with row_security.elevated(session):
        user_id = session.execute(sa.select(_t.user_id).where(_USABLE), named).scalar()
    if user_id is None:
        raise errors.invalid_token()
    row_security.act_for(session, user_id)
    user, now = queries.lock_user(session, user_id)
    used = sa.update(OneTimeToken).where(_USABLE).values(used_at=now).returning(_t.email, _t.event_id)
    found = session.execute(used.execution_options(synchronize_session=False), named).one_or_none()
    if found is None or user.state not in queries.RECOVERABLE:
        raise errors.invalid_token()
    return user, found, now


def forget(session: Session, user_id: int, purpose: str) -> None:
    """Make the account's tokens for ``purpose`` void."""
    session.execute(
        sa.delete(OneTimeToken)
        .where(_t.user_id == user_id, _t.purpose == purpose)
        .execution_options(synchronize_session=False)
    )
