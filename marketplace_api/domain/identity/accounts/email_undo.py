"""Undoing a change of the e-mail address, by a link that the former address is sent once the change counts.

The row is made with the change, so that it holds the former address; the token when the mail is sent, as a hash only.
Until it has run out nobody else can have that address (``queries.require_free``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database import row_security
from marketplace_api.database.base import table_of
from marketplace_api.database.engines import Databases
from marketplace_api.domain.identity.accounts import login_throttle, one_time_tokens, queries, recovery, sessions
from marketplace_api.domain.identity.accounts.config import AccountRules
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.kernel.events import EventType, record
from marketplace_api.domain.kernel.tokens import hash_opaque, new_opaque
from marketplace_api.errors import NotFound
from marketplace_api.models.identity.accounts import OneTimeToken, User

_table = table_of(OneTimeToken)
_t = _table.c
_OPEN = sa.and_(_t.purpose == queries.UNDO_EMAIL, _t.used_at.is_(None), _t.expires_at > sa.func.now())


@dataclass(frozen=True, slots=True)
class UndoToken:
    """A token, the former address that it is sent to, and until when it works (aware)."""

    token: str
    email: str
    expires_at: datetime


def issue_token(session: Session, event_id: int) -> UndoToken | None:
    """A token that undoes the change of this event, in place of any that was sent before; ``None`` where it is too late."""
    token = new_opaque()
    renewed = sa.update(_table).where(_OPEN, _t.event_id == event_id).values(token_hash=hash_opaque(token))
    row = session.execute(renewed.returning(_t.email, _t.expires_at)).one_or_none()
    return None if row is None else UndoToken(token, row.email, row.expires_at)


def find(databases: Databases, token: str) -> datetime:
    """Until when a token works (UTC); raises :class:`NotFound` for one that does not, which changes nothing."""
    with databases.separately() as short, row_security.elevated(short):
        found = sa.select(_t.expires_at).where(_OPEN, _t.token_hash == hash_opaque(token))
        expires_at: datetime | None = short.execute(found).scalar()
    if expires_at is None:
        raise NotFound("This link was used before, is too old, or a part of it is missing.")
    return expires_at


def undo(session: Session, rules: AccountRules, *, token: str, actor: Actor) -> User:
    """Give the account its former address back, and to nobody else anything that they had of it.

    All its sessions end, what waits for confirmation or was mailed is void, and so is the password, which whoever changed
    the address knew; the mail to set a new one follows from the event. Later changes can be undone no more, earlier ones
    can: so nobody who changes the address twice undoes what the first owner can do. Raises :class:`Invalid`
    ``invalid_token``; of two at the same moment exactly one wins.
    """
    user, found, now = one_time_tokens.redeem(session, token, queries.UNDO_EMAIL)
    if user.email is not None:
        login_throttle.forget(session, rules, user.email)
    with queries.keeping_unique(session, username=None, email=found.email, user_id=user.user_id):
        user.email = found.email
        user.email_confirmed_at, user.email_bounced_at = now, None
        recovery.set_password(session, user, None, now)
    later = sa.and_(_t.user_id == user.user_id, _t.purpose == queries.UNDO_EMAIL, _t.event_id > found.event_id)
    session.execute(sa.delete(_table).where(later))
    owner = Actor(user_id=user.user_id, request_id=actor.request_id)
    sessions.end_all(session, user.user_id, "email_undone", actor=owner)
    record(session, owner, EventType.USER_EMAIL_CHANGE_UNDONE, user.user_id)
    record(session, owner, EventType.USER_PASSWORD_RESET_REQUESTED, user.user_id)
    return user
