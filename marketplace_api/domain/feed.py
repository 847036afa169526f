"""The event log as a feed: whatever is recorded from now on, soon after its commit, each event once.

Events take their ids when they are recorded and are seen when they are committed, so one with a small id may come after
one with a large. Hence no last id is kept, but the spans of ids that were not seen yet. A gap is closed when nobody can
fill it any more: whoever records holds a lock of the table from before they take an id to the end of their transaction.
"""

from __future__ import annotations

import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from marketplace_api.db import BIGINT_MAX, Databases, Reader, is_outage, table_of
from marketplace_api.domain.audit import LONGEST_TRANSACTION, Wanted
from marketplace_api.models.events import Event

BATCH = 1_000
POLL_SECONDS = 1.0
"""Who begins to record while nobody waits does not ring the bell: they are found by looking."""
PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0
BELL = 7_405_002
"""The lock of those who wait; see the migration that made the bell."""

_e = table_of(Event).c
_BIGINTS = sa.ARRAY(sa.BigInteger)

_RECORDING = sa.text(
    "SELECT virtualtransaction FROM pg_locks WHERE locktype = 'relation' AND mode = 'RowExclusiveLock' AND granted "
    "AND relation = CAST('events' AS regclass) "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
_open = (
    sa.func.unnest(sa.bindparam("lows", type_=_BIGINTS), sa.bindparam("highs", type_=_BIGINTS))
    .table_valued(sa.column("low", sa.BigInteger), sa.column("high", sa.BigInteger), name="open")
    .render_derived()
)
_count = sa.bindparam("count", type_=sa.Integer)
# Each span by itself: the planner would rather walk all the way from the first gap to the end of the log.
_found = (
    sa.select(*_e)
    .where(_e.event_id.between(_open.c.low, _open.c.high))
    .order_by(_e.event_id)
    .limit(_count)
    .lateral("found")
)
_UNSEEN = sa.select(*_found.c).select_from(_open.join(_found, sa.true())).order_by(_found.c.event_id).limit(_count)
_TOP = sa.select(sa.func.coalesce(sa.func.max(_e.event_id), 0))
_NEWEST_OF_OLD = (
    sa.select(_e.event_id)
    .where(_e.date_created < sa.func.now() - sa.literal(LONGEST_TRANSACTION, sa.Interval))
    .order_by(_e.date_created.desc(), _e.event_id.desc())
    .limit(1)
)
_low = sa.bindparam("low", type_=sa.BigInteger)
_before = sa.func.lag(_e.event_id).over(order_by=_e.event_id)
_ids = (
    sa.select(_e.event_id, (sa.func.coalesce(_before, _low) + 1).label("low"))
    .where(_e.event_id.between(_low, sa.bindparam("top", type_=sa.BigInteger)))
    .subquery()
)
_GAPS = sa.select(_ids.c.low, (_ids.c.event_id - 1).label("high")).where(_ids.c.low < _ids.c.event_id)


@dataclass(frozen=True, slots=True)
class _Span:
    """Ids from ``low`` to ``high``; ``waits_for`` are the transactions that may still fill it, ``None`` while that was
    not looked up."""

    low: int
    high: int
    waits_for: frozenset[str] | None = None


class Feed:
    """What of the log was not seen yet. It outlives the connections that it is read through."""

    def __init__(self, db: Reader) -> None:
        """Whatever is committed after this has returned is new."""
        top = db.execute(_TOP).scalar_one()
        # In this order: who took an id below the highest, and records no more, has committed it.
        recording = db.execute(_RECORDING).scalars().all()
        self._spans: list[_Span] = []
        if recording:
            low = db.execute(_NEWEST_OF_OLD).scalar() or 0
            self._spans = [_Span(gap.low, gap.high) for gap in db.execute(_GAPS, {"low": low, "top": top})]
        self._spans.append(_Span(top + 1, BIGINT_MAX))

    def awaits(self, event_id: int) -> bool:
        """Whether the event would be new."""
        return any(span.low <= event_id <= span.high for span in self._spans)

    @property
    def gaps(self) -> int:
        """How many gaps may still be filled."""
        return len(self._spans) - 1

    def read(self, db: Reader) -> Sequence[Any]:
        """Up to :data:`BATCH` events that were committed since and not read yet, by id."""
        recording = frozenset(db.execute(_RECORDING).scalars())
        self._spans = [_narrowed(span, recording) for span in self._spans]
        lows, highs = [span.low for span in self._spans], [span.high for span in self._spans]
        rows: Sequence[Any] = db.execute(_UNSEEN, {"lows": lows, "highs": highs, "count": BATCH}).all()
        reached = rows[-1].event_id if len(rows) == BATCH else BIGINT_MAX
        ids = [row.event_id for row in rows]
        self._spans = [rest for span in self._spans for rest in _without(span, ids, reached)]
        return rows


def _narrowed(span: _Span, recording: frozenset[str]) -> _Span:
    """Those who record now, or those of them who did when the gap was found. What the others had to commit, they did
    before this, and the next look shows it."""
    if span.high == BIGINT_MAX:
        return span
    return replace(span, waits_for=recording if span.waits_for is None else span.waits_for & recording)


def _without(span: _Span, ids: Sequence[int], reached: int) -> Iterator[_Span]:
    """What is left of a span after a look at it that found ``ids`` (of this span and others) and went up to the id
    ``reached``."""
    low = span.low
    for event_id in ids[bisect_left(ids, span.low) : bisect_right(ids, span.high)]:
        if event_id > low and _can_be_filled(span):
            yield replace(span, low=low, high=event_id - 1)
        low = event_id + 1
    if low <= span.high and (span.high > reached or _can_be_filled(span)):
        yield replace(span, low=low)


def _can_be_filled(span: _Span) -> bool:
    return span.high == BIGINT_MAX or span.waits_for is None or bool(span.waits_for)


def follow(databases: Databases, feed: Feed, tell: Callable[[str], None]) -> Iterator[Sequence[Any]]:
    """What is new, for ever; nothing, at least every other second, while nothing is.

    While the database is away it is waited for: ``tell`` gets a sentence when it goes and when it is back, and nothing
    recorded in between is left out.
    """
    pause, lost = PAUSE_SECONDS, False
    while True:
        try:
            with databases.primary_reader() as db:
                db.execute(sa.text("LISTEN events"))
                if lost:
                    tell("The database is back.")
                pause, lost = PAUSE_SECONDS, False
                while True:
                    yield _next(db, feed)
        except Exception as error:
            if not is_outage(error):
                raise
            if not lost:
                tell("The database is away; waiting for it.")
            lost = True
        yield ()
        time.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE_SECONDS)


def _next(db: sa.Connection, feed: Feed) -> Sequence[Any]:
    """New events at once, else those that the bell tells of."""
    try:
        rows = feed.read(db)
        if rows:
            # While there is much to tell nobody needs to ring.
            time.sleep(0 if len(rows) == BATCH else PAUSE_SECONDS)
            return rows
        db.execute(sa.text("SELECT pg_advisory_lock_shared(:bell)"), {"bell": BELL})
        rows = feed.read(db)
        if not rows:
            driver: Any = db.connection.driver_connection
            for _bell in driver.notifies(timeout=POLL_SECONDS, stop_after=1):
                pass
        db.execute(sa.text("SELECT pg_advisory_unlock_shared(:bell)"), {"bell": BELL})
    except Exception:
        # Nobody else shall get a connection that is broken, or whose lock is held.
        db.invalidate()
        raise
    return rows


def matches(wanted: Wanted, row: Any) -> bool:
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
