"""Deliveries: outbound notifications. What is due is taken here, several at once where one message tells of them, and
what became of it is written down. ``scheduling`` says when something goes, and whether at all.

Any number of workers take what no other holds. The caller commits after each message: who dies before that has sent
something that is sent again, and never lost anything.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.orm import Session

from marketplace_api.database.base import table_of
from marketplace_api.domain.outbound.notifications import scheduling
from marketplace_api.domain.outbound.notifications.content import text_of
from marketplace_api.domain.outbound.notifications.reading import FOUND, JOINS
from marketplace_api.domain.outbound.notifications.subjects import SUBJECTS
from marketplace_api.domain.outbound.notifications.types import NotificationType
from marketplace_api.models.outbound.deliveries import Delivery

MOST_ATTEMPTS = 8
MOST_AT_ONCE = 200
"""How many deliveries one message tells of at most."""

DIGEST = "digest"
HOME = "/notifications"
FIRST_WAIT, LONGEST_WAIT = timedelta(minutes=1), timedelta(hours=6)

log = structlog.get_logger(__name__)

_d = table_of(Delivery).c
_FIRST = sa.text(
    """
    SELECT user_id FROM deliveries WHERE channel = :channel AND status = 'due' AND due_at <= :now
    ORDER BY due_at, delivery_id LIMIT 1 FOR UPDATE SKIP LOCKED
    """
)
_REST = sa.text(
    """
    SELECT delivery_id FROM deliveries
    WHERE user_id = :user_id AND channel = :channel AND status = 'due' AND due_at <= :now
    ORDER BY due_at, delivery_id LIMIT :limit FOR UPDATE SKIP LOCKED
    """
)
# Apart from the locking, so that it sees what was committed while that went on. The id of the message is a column before
# anything is joined: a cast is not leakproof, and compared with one directly no index of a table with policies is used.
_LOOK = sa.text(
    f"""
    WITH note AS MATERIALIZED (
        SELECT delivery_id, user_id, channel, type, group_key, count, actor_id, listing_id, conversation_id, review_id,
            session_id, data, attempts, date_created,
            CASE WHEN type = 'new_message' THEN CAST(data ->> 'message_id' AS bigint) END AS message_id
        FROM deliveries WHERE delivery_id = ANY (:ids)
    )
    SELECT note.*, open_group.count AS group_count, {scheduling.COLUMNS}, {FOUND}
    FROM note {scheduling.JOINS} {JOINS}
    LEFT JOIN notifications AS open_group ON note.channel = 'web_push' AND open_group.user_id = note.user_id
        AND open_group.group_key = note.group_key AND NOT open_group.is_read
    ORDER BY note.date_created, note.delivery_id
    """  # noqa: S608  made of constants only
)


@dataclass(frozen=True, slots=True)
class Item:
    """One piece of news in a message that tells of several."""

    title: str
    text: str
    url: str


@dataclass(frozen=True, slots=True)
class OutboundMessage:
    """What one person is told by one channel, in words: ``title`` is a few, ``text`` a sentence or two.

    ``count`` is how many events it tells of, which of a push are all of its group that are unread: it takes the place of
    the one before. ``url`` is absolute and leads to what it is about. ``type`` is the type of
    notification, or ``digest`` for the news of a day, which are then in ``items`` (empty otherwise). Of several
    deliveries in one message, ``delivery_id`` is the latest. ``date_created`` is aware.
    """

    delivery_id: int
    user_id: int
    type: str
    title: str
    text: str
    url: str
    count: int
    group_key: str | None
    listing_id: int | None
    conversation_id: int | None
    date_created: datetime
    items: tuple[Item, ...] = ()


@dataclass(frozen=True, slots=True)
class Taken:
    """A message, the deliveries that it is made of, and how often the most unlucky of them failed."""

    message: OutboundMessage
    delivery_ids: tuple[int, ...]
    attempts: int


def take(session: Session, channel: str, now: datetime, page: Callable[[str], str]) -> Taken | bool:
    """The next message of a channel that is due ``now`` (aware), its deliveries locked.

    ``True`` where all that was taken waits for another time or is not to be told any more, which is written down;
    ``False`` where nothing is due. ``page`` makes an absolute address of a path of the API.
    """
    found = session.execute(_FIRST, {"channel": channel, "now": now}).first()
    if found is None:
        return False
    whose = {"user_id": found.user_id, "channel": channel, "now": now, "limit": MOST_AT_ONCE}
    ids = session.execute(_REST, whose).scalars().all()
    rows = session.execute(_LOOK, {"ids": ids}).all()
    ready = [row for row in rows if _goes_now(session, row, now)]
    if not ready:
        return True
    key = _message_key(ready[0])
    together = [row for row in ready if _message_key(row) == key]
    delivery_ids, attempts = tuple(row.delivery_id for row in together), max(row.attempts for row in together)
    try:
        message = _digest(together, page) if key == DIGEST and len(together) > 1 else _message(together, page)
    except Exception:
        _set_aside(session, delivery_ids, attempts, now)
        return True
    return Taken(message, delivery_ids, attempts)


def _goes_now(session: Session, row: Any, now: datetime) -> bool:
    """Whether a delivery goes now; what becomes of one that does not is written down."""
    try:
        later = scheduling.not_before(row, now)
        why_not = scheduling.skip_reason(row)
    except Exception:
        _set_aside(session, (row.delivery_id,), row.attempts, now)
        return False
    if why_not is not None:
        skip(session, (row.delivery_id,), why_not)
    elif later is not None:
        # Whatever failed before, from here on it waits for the person's hours, and goes with them where they change.
        _change(session, (row.delivery_id,), due_at=later, error=None)
    return why_not is None and later is None


def _set_aside(session: Session, delivery_ids: Collection[int], attempts: int, now: datetime) -> None:
    """What nobody can make a message of, such as by a time zone or a type that this machine does not know, must not keep
    from all others what is theirs; it is tried again, perhaps by a machine that can."""
    log.exception("delivery.unreadable", delivery_ids=list(delivery_ids))
    _try_later(session, delivery_ids, attempts, now, "unexpected")


def sent(session: Session, delivery_ids: Collection[int], reference: str | None) -> None:
    """They arrived, as far as we can know."""
    _change(session, delivery_ids, status="sent", date_done=sa.func.now(), provider_reference=reference, error=None)


def skip(session: Session, delivery_ids: Collection[int], why: str) -> None:
    """They are not sent; ``why`` is a code."""
    _change(session, delivery_ids, status="skipped", date_done=sa.func.now(), error=why)


def fail(session: Session, delivery_ids: Collection[int], why: str) -> None:
    """They are given up; ``why`` is a code."""
    _change(session, delivery_ids, status="failed", date_done=sa.func.now(), error=why, attempts=Delivery.attempts + 1)


def postpone(session: Session, taken: Taken, now: datetime, why: str) -> bool:
    """Try again later, or give it up after :data:`MOST_ATTEMPTS`; returns whether it is tried again. ``why`` is a code."""
    return _try_later(session, taken.delivery_ids, taken.attempts, now, why)


def _try_later(session: Session, delivery_ids: Collection[int], attempts: int, now: datetime, why: str) -> bool:
    if attempts + 1 >= MOST_ATTEMPTS:
        fail(session, delivery_ids, why)
        return False
    wait = min(FIRST_WAIT * 4**attempts, LONGEST_WAIT)
    # Spread, so that all that failed together does not come back together.
    due_at = now + wait * random.uniform(1, 1.25)  # noqa: S311  no secret hangs on it
    _change(session, delivery_ids, due_at=due_at, error=why, attempts=attempts + 1)
    return True


def _message_key(row: Any) -> object:
    """Deliveries of the same key go in the same message."""
    if scheduling.is_in_digest(row):
        return DIGEST
    return row.group_key if row.group_key is not None else row.delivery_id


def _message(rows: Sequence[Any], page: Callable[[str], str]) -> OutboundMessage:
    """About one event, or several of a group in the words of the latest."""
    last = rows[-1]
    # In the application the group may hold more; nothing is held of it there for who does not want that.
    count = max(sum(row.count for row in rows), last.group_count or 0)
    text = text_of(SimpleNamespace(**{**last._mapping, "count": count}))
    return OutboundMessage(
        delivery_id=last.delivery_id,
        user_id=last.user_id,
        type=last.type,
        title=text.title,
        text=text.content,
        url=page(SUBJECTS[NotificationType(last.type)][1](last) or HOME),
        count=count,
        group_key=last.group_key,
        listing_id=last.listing_id,
        conversation_id=last.conversation_id,
        date_created=last.date_created,
    )


def _digest(rows: Sequence[Any], page: Callable[[str], str]) -> OutboundMessage:
    """The news of a day: each group is one piece of it."""
    groups: dict[object, list[Any]] = {}
    for row in rows:
        groups.setdefault(row.group_key or row.delivery_id, []).append(row)
    messages = [_message(group, page) for group in groups.values()]
    last = rows[-1]
    return OutboundMessage(
        delivery_id=last.delivery_id,
        user_id=last.user_id,
        type=DIGEST,
        title="Your news of the day",
        text="\n".join(message.text for message in messages),
        url=page(HOME),
        count=sum(row.count for row in rows),
        group_key=None,
        listing_id=None,
        conversation_id=None,
        date_created=last.date_created,
        items=tuple(Item(message.title, message.text, message.url) for message in messages),
    )


def _change(session: Session, delivery_ids: Collection[int], **values: Any) -> None:
    statement = sa.update(Delivery).where(_d.delivery_id.in_(delivery_ids), _d.status == "due").values(**values)
    session.execute(statement, execution_options={"synchronize_session": False})
