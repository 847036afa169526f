"""What people do with their notifications, and how long these are kept.

The counts of the boxes follow by triggers. Rows of one person are locked in the order of their ids.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database.base import table_of
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.kernel.events import EventType, record
from marketplace_api.errors import NotFound
from marketplace_api.models.outbound.notifications import Notification, NotifiedEvent

PURGE_BATCH = 5_000

_n = table_of(Notification).c
_claims = table_of(NotifiedEvent)


def mark_read(session: Session, actor: Actor, notification_id: int) -> None:
    """One notification is read; to have read it before is no error. Raises NotFound."""
    own = _own(actor, notification_id)
    unread = sa.update(Notification).where(own, sa.not_(_n.is_read)).values(is_read=True)
    if session.execute(_quietly(unread.returning(_n.notification_id))).first() is not None:
        _record(session, actor, notification_id)
    elif session.execute(sa.select(_n.notification_id).where(own)).first() is None:
        raise _absent()


def mark_all_read(session: Session, actor: Actor) -> None:
    """Everything that has come so far is read."""
    if _mark(session, _n.user_id == (actor.user_id or 0)):
        _record(session, actor, None)


def dismiss(session: Session, actor: Actor, notification_id: int) -> None:
    """Take a notification away for good. Raises NotFound."""
    statement = sa.delete(Notification).where(_own(actor, notification_id))
    if session.execute(_quietly(statement.returning(_n.notification_id))).first() is None:
        raise _absent()
    _record(session, actor, notification_id)


def conversation_read(session: Session, user_id: int, conversation_id: int) -> None:
    """In the transaction in which a person has read all of a conversation, or deleted it from their view."""
    _mark(session, sa.and_(_n.user_id == user_id, _n.group_key == conversation_group(conversation_id)))


def conversation_group(conversation_id: int) -> str:
    """The group of the messages of one conversation."""
    return f"conversation:{conversation_id}"


def purge(session: Session, before: datetime) -> int:
    """Delete some of the read notifications whose last event was told before a time (aware), and what is known of the
    events of that time; returns how many rows."""
    old = (
        sa.select(_n.notification_id)
        .where(_n.is_read, _n.date_updated < before)
        .order_by(_n.date_updated)
        .limit(PURGE_BATCH)
    )
    doomed = sa.delete(Notification).where(_n.notification_id.in_(old.scalar_subquery()))
    deleted = len(session.execute(_quietly(doomed.returning(_n.notification_id))).all())
    # The lowest ids are the oldest events, but for those that were handled late.
    oldest = sa.select(_claims.c.event_id, _claims.c.type).order_by(_claims.c.event_id).limit(PURGE_BATCH).subquery()
    forgotten = sa.delete(_claims).where(
        _claims.c.event_id == oldest.c.event_id, _claims.c.type == oldest.c.type, _claims.c.date_created < before
    )
    return deleted + len(session.execute(forgotten.returning(_claims.c.event_id)).all())


def purge_unread(session: Session, before: datetime) -> int:
    """Delete some of the notifications that nobody read and nothing was added to since a time (aware); returns how many,
    0 when none is left."""
    old = sa.select(_n.notification_id).where(sa.not_(_n.is_read), _n.date_updated < before).limit(PURGE_BATCH)
    doomed = sa.delete(Notification).where(_n.notification_id.in_(old.scalar_subquery()))
    return len(session.execute(_quietly(doomed.returning(_n.notification_id))).all())


def _own(actor: Actor, notification_id: int) -> sa.ColumnElement[bool]:
    return sa.and_(_n.notification_id == notification_id, _n.user_id == (actor.user_id or 0))


def _mark(session: Session, which: sa.ColumnElement[bool]) -> int:
    """Returns how many there were."""
    unread: Any = sa.select(_n.notification_id).where(which, sa.not_(_n.is_read))
    held = unread.order_by(_n.notification_id).with_for_update(key_share=True).scalar_subquery()
    # The condition twice: once more an index leads to the rows, instead of a look at the whole table.
    marked = sa.update(Notification).where(which, sa.not_(_n.is_read), _n.notification_id.in_(held))
    result: Any = session.execute(_quietly(marked.values(is_read=True)))
    return int(result.rowcount)


def _record(session: Session, actor: Actor, notification_id: int | None) -> None:
    """For the open connections of the same account; ``None`` stands for all."""
    record(session, actor, EventType.NOTIFICATION_READ, notification_id, new={"user_id": actor.user_id})


def _quietly(statement: Any) -> Any:
    """On the mapped class, not its table: of those a session that is joined to a transaction manager takes note."""
    return statement.execution_options(synchronize_session=False)


def _absent() -> NotFound:
    return NotFound("You have no such notification.")
