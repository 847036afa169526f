"""The event log as a feed: every committed event once, in the order of the ids, from whatever id on.

Events take their ids when they are recorded and are seen when they are committed, so one with a small id may come after
one with a large. Hence the log is read up to a horizon, below which nothing can come any more (decision 15). Who reads
remembers the last id, and nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from marketplace_api.database.base import table_of
from marketplace_api.database.engines import Databases, is_outage
from marketplace_api.database.prepared import Reader
from marketplace_api.domain.eventlog.audit import Criteria
from marketplace_api.domain.kernel.events import EventType
from marketplace_api.errors import Conflict, Gone
from marketplace_api.models.kernel.events import Event

BATCH = 1_000
POLL_SECONDS = 1.0
"""Who begins to record while nobody waits does not ring the bell: they are found by looking. So is the end of those who
hold the horizon and then undo what they recorded."""
PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0
BELL = 7_405_002
"""The lock of those who wait; see the migration that made the bell."""

_e = table_of(Event).c
_HORIZON = sa.text("SELECT event_horizon()")
_LAST = sa.text("SELECT coalesce(pg_sequence_last_value('events_event_id_seq'), 0)")
# An event lies in the month in which its transaction began, so months overlap by their ids where they meet: what tells up
# to which id something was dropped is what dropped it, and not the lowest id that is left.
_DROPPED = sa.select(sa.func.coalesce(sa.func.max(sa.cast(_e.new["last_id"].astext, sa.BigInteger)), 0)).where(
    _e.type == EventType.EVENT_MONTH_DROPPED.value
)
_low, _high, _count = (sa.bindparam(name, type_=sa.BigInteger) for name in ("low", "high", "count"))


def horizon(db: Reader) -> int:
    """The id up to which everything is decided: each event up to it is committed and seen by every statement that is
    sent after this, or will never be. On the primary only, and in no transaction that keeps an older view."""
    highest: int = db.execute(_HORIZON).scalar_one()
    return highest


def after(db: Reader, event_id: int, limit: int = BATCH, types: Collection[str] | None = None) -> Sequence[Any]:
    """The next events behind the id, up to the horizon, by id and at most ``limit``; of these ``types``, if any are
    given. The conditions on ``db`` are those of :func:`horizon`."""
    return between(db, event_id, horizon(db), limit, types)


def between(
    db: Reader, event_id: int, high: int, limit: int = BATCH, types: Collection[str] | None = None
) -> Sequence[Any]:
    """:func:`after` up to a horizon that is known already."""
    values: dict[str, Any] = {"low": event_id, "high": high, "count": limit}
    if types is not None:
        values["types"] = sorted(types)
    rows: Sequence[Any] = db.execute(_statement(types is not None), values).all()
    return rows


@dataclass(frozen=True, slots=True)
class Part:
    """Events, the id up to which the log has been told with them, and whether there are more at once."""

    rows: Sequence[Any]
    reached: int
    has_more: bool


def part(db: Reader, event_id: int | None, limit: int, types: Collection[str] = ()) -> Part:
    """:func:`after` for who goes on later; without an id from the first event behind what was dropped.

    Raises Gone ``events_gone`` where events behind the id were dropped with their month; it names the oldest there is.
    Raises Conflict ``events_ahead`` for an id that no event was ever given: who waited behind it would wait for long, and
    then miss what came in between.
    """
    low = dropped(db) if event_id is None else event_id
    high = horizon(db)
    if low > high:
        require_given(db, low)
    rows = between(db, low, high, limit + 1, types or None)
    # Asked afterwards: what goes meanwhile is missing in the rows, and must not be so without a word.
    gone = dropped(db)
    if low < gone:
        oldest = db.execute(sa.select(sa.func.min(_e.event_id)).where(_e.event_id > gone)).scalar_one()
        raise Gone(
            f"Events before {oldest} are not kept any more: go on after {oldest - 1}.",
            "events_gone",
            extra={"oldest_event_id": oldest},
            link=f"/api/events?after={oldest - 1}",
        )
    if len(rows) > limit:
        return Part(rows[:limit], rows[limit - 1].event_id, has_more=True)
    return Part(rows, max(low, high), has_more=False)


def dropped(db: Reader) -> int:
    """The highest id that was dropped with its month, 0 before there is one."""
    highest: int = db.execute(_DROPPED).scalar_one()
    return highest


def require_given(db: Reader, event_id: int) -> None:
    """Raises Conflict ``events_ahead`` for an id that no event was ever given.

    Above the horizon are ids of events that others may see already; beyond the last one given are none.
    """
    newest = horizon(db)
    if event_id > newest and event_id > db.execute(_LAST).scalar_one():
        raise Conflict(
            f"No event has the id {event_id} yet; the newest is {newest}. The log was restored, or is another one.",
            "events_ahead",
            extra={"newest_event_id": newest},
            link=f"/api/events?after={newest}",
        )


@lru_cache(maxsize=2)
def _statement(by_type: bool) -> sa.Select[Any]:
    part = sa.select(*_e).where(_e.event_id > _low, _e.event_id <= _high).order_by(_e.event_id).limit(_count)
    if not by_type:
        return part
    # Each type by itself, along its own index: of a rare one the planner would look through the whole log.
    types = (
        sa.func.unnest(sa.bindparam("types", type_=sa.ARRAY(sa.Text)))
        .table_valued("type", name="asked")
        .render_derived()
    )
    found = part.where(_e.type == types.c.type).lateral("found")
    return sa.select(*found.c).select_from(types.join(found, sa.true())).order_by(found.c.event_id).limit(_count)


def follow(
    databases: Databases, after: int, tell: Callable[[str], None], rest: float = PAUSE_SECONDS
) -> Iterator[Sequence[Any]]:
    """What comes behind the id ``after``, for ever, in the order of the ids; nothing, at least every other second, while
    nothing does. Between two looks that found something it rests for ``rest`` seconds.

    While the database is away it is waited for: ``tell`` gets a sentence when it goes and when it is back, and nothing
    recorded in between is left out. Raises Conflict ``events_ahead`` where it comes back with a log that does not reach
    so far, as one does that was restored: what its ids stood for may be something else by now.
    """
    pause, lost, last = PAUSE_SECONDS, False, after
    while True:
        try:
            with _listening(databases) as db:
                require_given(db, last)
                if lost:
                    tell("The database is back.")
                pause, lost = PAUSE_SECONDS, False
                while True:
                    rows = _next(db, last)
                    last = rows[-1].event_id if rows else last
                    yield rows
                    if 0 < len(rows) < BATCH:
                        time.sleep(rest)  # while there is much to tell nobody needs to ring
        except Exception as error:
            if not is_outage(error):
                raise
            if not lost:
                tell("The database is away; waiting for it.")
            lost = True
        yield ()
        time.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE_SECONDS)


@contextmanager
def _listening(databases: Databases) -> Iterator[sa.Connection]:
    with databases.session_connection() as db:
        try:
            db.execute(sa.text("LISTEN events"))
            yield db
        finally:
            # Nobody else shall get a connection that listens, or whose lock is held.
            db.invalidate()


def _next(db: sa.Connection, last: int) -> Sequence[Any]:
    """New events at once, else those that the bell tells of."""
    rows = after(db, last, BATCH)
    if rows:
        return rows
    db.execute(sa.text("SELECT pg_advisory_lock_shared(:bell)"), {"bell": BELL})
    rows = after(db, last, BATCH)
    if not rows:
        driver: Any = db.connection.driver_connection
        for _bell in driver.notifies(timeout=POLL_SECONDS, stop_after=1):
            pass
    db.execute(sa.text("SELECT pg_advisory_unlock_shared(:bell)"), {"bell": BELL})
    return rows


def matches(wanted: Criteria, row: Any) -> bool:
    """Whether an event is one of those that ``wanted`` asks for."""
    named = (wanted.subject_type, wanted.subject_id, wanted.actor_id)
    values = (row.subject_type, row.subject_id, row.actor_id)
    if any(name is not None and name != value for name, value in zip(named, values, strict=True)):
        return False
    types = (wanted.type,) if isinstance(wanted.type, str) else wanted.type
    if types is not None and row.type not in types:
        return False
    early = wanted.since is not None and row.date_created < wanted.since
    return not early and (wanted.until is None or row.date_created < wanted.until)
