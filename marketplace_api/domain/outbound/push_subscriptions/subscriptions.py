"""Browsers that begin or cease to take notifications.

A subscription belongs to the session in which it was made, and ends with it: who has logged out of a device is told
nothing there any more. An endpoint is one browser's, so it is there once, and the account that is logged in there has
it; who takes it over has to know its secret, which the browser shows to nobody but us.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hmac import compare_digest
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database import row_security
from marketplace_api.database.base import table_of
from marketplace_api.domain.identity.accounts import queries as accounts
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.kernel.events import EventType, record
from marketplace_api.domain.outbound.push_subscriptions import queries
from marketplace_api.errors import Conflict, FieldError, NotFound
from marketplace_api.models.identity.accounts import AccountSession
from marketplace_api.models.outbound.push_subscriptions import MOST_SUBSCRIPTIONS, PushSubscription

_p, _s = table_of(PushSubscription).c, table_of(AccountSession).c
_QUIETLY = {"synchronize_session": False}


@dataclass(frozen=True, slots=True)
class Browser:
    """What a browser says of itself: the address at its push service, its public key, its secret, and its name."""

    endpoint: str = field(repr=False)
    p256dh: bytes = field(repr=False)
    auth: bytes = field(repr=False)
    device: str


def subscribe(session: Session, actor: Actor, browser: Browser) -> tuple[Any, bool]:
    """Let the caller's notifications go to a browser; returns the row of ``queries.COLUMNS`` and whether it was there.

    Where as many as there may be do already, the one that began first gives way. Raises :class:`Conflict`
    ``already_taken`` for an endpoint that is known with another secret.
    """
    user_id = actor.user_id or 0
    # Two that register one endpoint at the same moment: the second finds what the first has made.
    session.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(browser.endpoint, 1))))
    accounts.lock_user(session, user_id)
    held = _held(session, actor, browser)
    if held is not None:
        same = {"session_id": actor.session_id, "device": browser.device}
        session.execute(
            sa.update(PushSubscription).where(_p.subscription_id == held).values(same), execution_options=_QUIETLY
        )
        return queries.find(session, user_id, held), True
    _make_room(session, actor, user_id)
    made = sa.insert(PushSubscription).values(
        user_id=user_id,
        session_id=actor.session_id,
        endpoint=browser.endpoint,
        p256dh=browser.p256dh,
        auth=browser.auth,
        device=browser.device,
    )
    subscription_id = session.execute(made.returning(_p.subscription_id)).scalar_one()
    record(session, actor, EventType.PUSH_SUBSCRIBED, subscription_id, new={"user_id": user_id})
    return queries.find(session, user_id, subscription_id), False


def unsubscribe(session: Session, actor: Actor, subscription_id: int) -> None:
    """Send a browser of the caller's nothing more; raises :class:`NotFound`."""
    if not _delete(session, actor, _p.subscription_id == subscription_id, _p.user_id == actor.user_id):
        raise NotFound("You have no such subscription.")


def delete(session: Session, subscription_id: int) -> None:
    """Forget a browser that takes nothing any more, as its push service says."""
    _delete(session, Actor(username="web push"), _p.subscription_id == subscription_id)


def forget_all(session: Session, user_id: int) -> None:
    """Forget all browsers of an account, without a word."""
    session.execute(sa.delete(PushSubscription).where(_p.user_id == user_id), execution_options=_QUIETLY)


def _held(session: Session, actor: Actor, browser: Browser) -> int | None:
    """The caller's own subscription of the endpoint, if it is there; whose it was before has it no more."""
    known = sa.select(_p.subscription_id, _p.user_id, _p.p256dh, _p.auth).where(_p.endpoint == browser.endpoint)
    with row_security.elevated(session):
        row = session.execute(known.with_for_update()).one_or_none()
        if row is None:
            return None
        if row.p256dh != browser.p256dh or not compare_digest(row.auth, browser.auth):
            message = "This endpoint is known with other keys; let the browser subscribe anew."
            raise Conflict(message, "already_taken", [FieldError("body", "endpoint", "already_taken", message)])
        if row.user_id == actor.user_id:
            return int(row.subscription_id)
        _delete(session, Actor(request_id=actor.request_id), _p.subscription_id == row.subscription_id)
    return None


def _delete(session: Session, actor: Actor, *which: sa.ColumnElement[bool]) -> bool:
    gone = sa.delete(PushSubscription).where(*which).returning(_p.subscription_id, _p.user_id)
    row = session.execute(gone, execution_options=_QUIETLY).one_or_none()
    if row is not None:
        record(session, actor, EventType.PUSH_UNSUBSCRIBED, row.subscription_id, new={"user_id": row.user_id})
    return row is not None


def _make_room(session: Session, actor: Actor, user_id: int) -> None:
    """Forget those whose sessions are over, and then what is one too many."""
    over = sa.or_(_s.ended_at.is_not(None), _s.expires_at <= sa.func.now())
    ended = sa.exists().where(_s.session_id == _p.session_id, over)
    session.execute(sa.delete(PushSubscription).where(_p.user_id == user_id, ended), execution_options=_QUIETLY)
    kept = sa.select(_p.subscription_id).where(_p.user_id == user_id).order_by(_p.subscription_id.desc())
    for subscription_id in session.execute(kept.offset(MOST_SUBSCRIPTIONS - 1)).scalars().all():
        _delete(session, actor, _p.subscription_id == subscription_id)
