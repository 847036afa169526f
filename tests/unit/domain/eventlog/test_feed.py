"""The feed gives every committed event once, in whatever order transactions end."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database.engines import Databases
from marketplace_api.domain.eventlog import audit, feed
from marketplace_api.domain.eventlog.audit import Criteria
from marketplace_api.domain.eventlog.feed import follow, matches
from marketplace_api.domain.kernel.actors import ANONYMOUS
from marketplace_api.domain.kernel.events import Entry, EventType, record, record_quietly
from marketplace_api.errors import Conflict


def _record(session: Session, subject_id: int = 1) -> int:
    return record(session, ANONYMOUS, EventType.LISTING_EDITED, subject_id).event_id


@pytest.fixture
def reader(committed_databases: Databases) -> Iterator[sa.Connection]:
    with committed_databases.primary_reader() as db:
        yield db


def _ids(db: sa.Connection, last: int, **narrowed: Any) -> list[int]:
    return [row.event_id for row in feed.after(db, last, **narrowed)]


def test_nothing_is_seen_before_all_with_smaller_ids_are_decided(
    committed_databases: Databases, reader: sa.Connection
) -> None:
    start = feed.horizon(reader)
    with committed_databases.session() as slow, committed_databases.session() as fast:
        other = committed_databases.session()
        other.execute(sa.text("SELECT 1"))  # a transaction that records nothing holds nobody up
        first, second = _record(slow), _record(fast)
        fast.commit()
        assert feed.horizon(reader) == start
        assert _ids(reader, start) == []
        slow.commit()
        assert _ids(reader, start) == [first, second]
        undone, third = _record(slow), _record(fast)
        fast.commit()
        assert _ids(reader, second) == []
        slow.rollback()
        assert feed.horizon(reader) == third > undone
        assert _ids(reader, second) == [third]
        other.close()


def test_savepoints_hold_as_long_as_what_was_recorded_in_them_may_come(
    committed_databases: Databases, reader: sa.Connection
) -> None:
    start = feed.horizon(reader)
    with committed_databases.session() as session, committed_databases.session() as fast:
        inner = session.begin_nested()
        _record(session)
        inner.rollback()  # with it goes the lock, and with that the mark that it is held
        between = _record(fast)
        fast.commit()
        assert _ids(reader, start) == [between]
        with session.begin_nested():
            kept = _record(session)
        inner = session.begin_nested()
        undone = _record(session)
        inner.rollback()  # the lock is the transaction's since the savepoint before was released
        last = _record(fast)
        fast.commit()
        assert undone < last
        assert _ids(reader, between) == []
        session.commit()
    assert _ids(reader, start) == [between, kept, last]


def test_parts_and_types(committed_databases: Databases, reader: sa.Connection) -> None:
    start = feed.horizon(reader)
    with committed_databases.session() as session:
        edited = [_record(session) for _ in range(4)]
        created = record(session, ANONYMOUS, EventType.LISTING_CREATED, 1).event_id
        restored = record(session, ANONYMOUS, EventType.LISTING_RESTORED, 1).event_id
        session.commit()
    assert _ids(reader, start, limit=3) == edited[:3]
    assert _ids(reader, edited[2], limit=3) == [edited[3], created, restored]
    both = ("listing.restored", "listing.edited")
    assert _ids(reader, edited[2], types=both) == [edited[3], restored]
    assert _ids(reader, start, types=both, limit=2) == edited[:2]
    assert _ids(reader, start, types=["user.erased"]) == []


def _kill(databases: Databases, session: Session) -> None:
    pid = session.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
    with databases.owner_session() as owner:
        owner.execute(sa.text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})


def _write(databases: Databases, seed: int, committed: list[int], lock: threading.Lock) -> None:
    """Record and end in all the ways there are; ``committed`` gets the ids that are to come."""
    chance = random.Random(seed)
    for _ in range(30):
        with databases.session() as session:
            try:
                ids = [_record(session) for _ in range(chance.randint(0, 3))]
                inner = session.begin_nested()
                more = [_record(session) for _ in range(chance.randint(1, 2))]
                if chance.random() < 0.3:
                    inner.rollback()
                    more = [_record(session)] if chance.random() < 0.5 else []
                if chance.random() < 0.4:
                    session.execute(sa.text("SELECT pg_sleep(:seconds)"), {"seconds": chance.random() / 50})
                if chance.random() < 0.1:
                    _kill(databases, session)
                if chance.random() < 0.2:
                    session.rollback()
                    continue
                session.commit()
            except sa.exc.OperationalError:  # it was killed
                session.invalidate()
                continue
        with lock:
            committed += [*ids, *more]


def test_writers_at_once_lose_nothing_and_come_in_order(committed_databases: Databases, reader: sa.Connection) -> None:
    committed, lock = list[int](), threading.Lock()
    last = start = feed.horizon(reader)
    writers = [threading.Thread(target=_write, args=(committed_databases, seed, committed, lock)) for seed in range(8)]
    for writer in writers:
        writer.start()
    found: list[int] = []
    while any(writer.is_alive() for writer in writers):
        found += _ids(reader, last, limit=7)
        last = found[-1] if found else start
    for writer in writers:
        writer.join()
    while more := _ids(reader, last):
        found += more
        last = found[-1]
    assert committed != sorted(committed)  # else the test would prove nothing
    assert found == sorted(committed)


def test_the_bell_rings_while_somebody_waits(committed_databases: Databases) -> None:
    with (
        committed_databases.primary_reader() as listener,
        committed_databases.primary_reader() as waiting,
        committed_databases.session() as session,
    ):
        listener.execute(sa.text("LISTEN events"))
        driver = listener.connection.driver_connection
        assert driver is not None
        _record(session)
        session.commit()
        assert list(driver.notifies(timeout=0)) == []
        waiting.execute(sa.text("SELECT pg_advisory_lock_shared(:bell)"), {"bell": feed.BELL})
        record_quietly(session, ANONYMOUS, EventType.LISTING_EDITED, [Entry(n, None, None) for n in range(50)])
        record_quietly(session, ANONYMOUS, EventType.LISTING_EDITED, [Entry(n, None, None) for n in range(50)])
        session.commit()
        assert len(list(driver.notifies(timeout=10, stop_after=1))) == 1
        assert list(driver.notifies(timeout=0)) == []  # one for all that was committed together


def test_following_gives_what_happens(committed_databases: Databases, reader: sa.Connection) -> None:
    told: list[str] = []
    coming = follow(committed_databases, feed.horizon(reader), told.append)
    next(coming)
    with committed_databases.session() as session:
        event_id = _record(session)
        session.commit()
    found = next(rows for rows in coming if rows)
    assert [row.event_id for row in found] == [event_id]
    coming.close()
    assert told == []


def test_a_connection_that_is_cut_is_made_again(committed_databases: Databases, reader: sa.Connection) -> None:
    told: list[str] = []
    coming = follow(committed_databases, feed.horizon(reader), told.append)
    next(coming)
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> :own"
    with committed_databases.owner_session() as owner:
        owner.execute(sa.text(cut), {"own": owner.connection().connection.driver_connection.info.backend_pid})
    with committed_databases.session() as session:
        event_id = _record(session)
        session.commit()
    found = next(rows for rows in coming if rows)
    assert [row.event_id for row in found] == [event_id]
    assert told == ["The database is away; waiting for it.", "The database is back."]
    coming.close()
    reader.invalidate()


def test_who_is_beyond_the_end_of_the_log_is_told(committed_databases: Databases, reader: sa.Connection) -> None:
    """As when the database comes back from a backup: they would wait, and then miss what comes in between."""
    newest = feed.horizon(reader)
    with pytest.raises(Conflict) as refused:
        next(follow(committed_databases, newest + 1, print))
    assert (refused.value.code, refused.value.extra) == ("events_ahead", {"newest_event_id": newest})


def test_newest_and_walk_and_names(db: Session) -> None:
    ids = [_record(db, subject_id) for subject_id in (1, 2, 1, 2, 1)]
    about_one = Criteria(subject_type="listing", subject_id=1)
    assert [row.event_id for row in audit.newest(db, about_one, 2)] == [ids[2], ids[4]]
    now = datetime.now(UTC)
    recent = Criteria(subject_type="listing", subject_id=1, since=now - timedelta(hours=1))
    parts = list(audit.walk(db, recent, ids[3]))
    assert [row.event_id for part in parts for row in part] == [ids[0], ids[2]]
    assert list(audit.walk(db, Criteria(until=now - timedelta(days=1)), audit.top_id(db))) == []
    assert audit.names(db, {2**40}) == {}
    (row,) = audit.newest(db, Criteria(), 1)
    assert matches(Criteria(type="listing.edited", since=now - timedelta(hours=1)), row)
    assert not matches(Criteria(type="listing.created"), row)
    assert not matches(Criteria(since=now + timedelta(days=1)), row)
    assert not matches(Criteria(until=now - timedelta(days=1)), row)


def test_the_walk_goes_on_part_by_part(db: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "WALK", 2)
    ids = [_record(db) for _ in range(5)]
    parts = audit.walk(db, Criteria(subject_type="listing", subject_id=1), audit.top_id(db))
    assert [[row.event_id for row in part] for part in parts] == [ids[:2], ids[2:4], ids[4:]]
