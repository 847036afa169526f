"""The feed gives every committed event once, in whatever order transactions end."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.db import Databases
from marketplace_api.domain import audit, feed
from marketplace_api.domain.actors import ANONYMOUS
from marketplace_api.domain.audit import Wanted
from marketplace_api.domain.events import Entry, EventType, record, record_quietly
from marketplace_api.domain.feed import Feed, follow, matches


def _record(session: Session, subject_id: int = 1) -> int:
    return record(session, ANONYMOUS, EventType.LISTING_EDITED, subject_id).event_id


@pytest.fixture
def reader(committed_databases: Databases) -> Iterator[sa.Connection]:
    with committed_databases.primary_reader() as db:
        yield db


def _ids(news: Feed, db: sa.Connection) -> list[int]:
    return [row.event_id for row in news.read(db)]


def test_a_small_id_that_is_committed_late_is_found(committed_databases: Databases, reader: sa.Connection) -> None:
    news = Feed(reader)
    with committed_databases.session() as slow, committed_databases.session() as fast:
        first, second = _record(slow), _record(fast)
        fast.commit()
        assert _ids(news, reader) == [second]
        assert _ids(news, reader) == []
        slow.commit()
    assert _ids(news, reader) == [first]
    assert _ids(news, reader) == []
    assert news.gaps == 0


def test_what_was_not_committed_at_the_beginning_is_new(committed_databases: Databases, reader: sa.Connection) -> None:
    with committed_databases.session() as slow, committed_databases.session() as fast:
        first, second = _record(slow), _record(fast)
        fast.commit()
        news = Feed(reader)
        assert news.awaits(first)
        assert not news.awaits(second)
        assert _ids(news, reader) == []
        slow.commit()
    assert _ids(news, reader) == [first]


def test_a_gap_that_nobody_can_fill_is_closed(committed_databases: Databases, reader: sa.Connection) -> None:
    news = Feed(reader)
    with committed_databases.session() as undone, committed_databases.session() as other:
        _record(undone)
        other.execute(sa.text("SELECT 1"))  # a transaction that records nothing keeps no gap open
        with committed_databases.session() as fast:
            _record(fast)
            fast.commit()
        assert len(_ids(news, reader)) == 1
        assert news.gaps == 1
        undone.rollback()
        assert _ids(news, reader) == []
        assert news.gaps == 0


def test_more_than_one_look_takes_in(
    committed_databases: Databases, reader: sa.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "BATCH", 3)
    news = Feed(reader)
    with committed_databases.session() as slow, committed_databases.session() as fast:
        late = [_record(slow) for _ in range(4)]
        ids = [_record(fast) for _ in range(5)]
        fast.commit()
        assert [_ids(news, reader) for _ in range(3)] == [ids[:3], ids[3:], []]
        slow.commit()
    assert [_ids(news, reader) for _ in range(3)] == [late[:3], late[3:], []]
    assert news.gaps == 0


def test_writers_at_once_lose_nothing(committed_databases: Databases, reader: sa.Connection) -> None:
    news, committed, lock = Feed(reader), set[int](), threading.Lock()

    def write(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(40):
            with committed_databases.session() as session:
                ids = {_record(session) for _ in range(chance.randint(1, 4))}
                if chance.random() < 0.3:
                    session.execute(sa.text("SELECT pg_sleep(0.005)"))
                if chance.random() < 0.2:
                    session.rollback()
                    continue
                session.commit()
            with lock:
                committed.update(ids)

    writers = [threading.Thread(target=write, args=(seed,)) for seed in range(8)]
    for writer in writers:
        writer.start()
    found: list[int] = []
    while any(writer.is_alive() for writer in writers):
        found += _ids(news, reader)
    for writer in writers:
        writer.join()
    while more := _ids(news, reader):
        found += more
    assert len(found) == len(set(found))
    assert set(found) == committed
    assert found != sorted(found)  # else the test would prove nothing
    assert news.gaps == 0


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
    coming = follow(committed_databases, Feed(reader), told.append)
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
    coming = follow(committed_databases, Feed(reader), told.append)
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


def test_newest_and_walk_and_names(db: Session) -> None:
    ids = [_record(db, subject_id) for subject_id in (1, 2, 1, 2, 1)]
    about_one = Wanted(subject_type="listing", subject_id=1)
    assert [row.event_id for row in audit.newest(db, about_one, 2)] == [ids[2], ids[4]]
    now = datetime.now(UTC)
    recent = Wanted(subject_type="listing", subject_id=1, since=now - timedelta(hours=1))
    parts = list(audit.walk(db, recent, ids[3]))
    assert [row.event_id for part in parts for row in part] == [ids[0], ids[2]]
    assert list(audit.walk(db, Wanted(until=now - timedelta(days=1)), audit.top_id(db))) == []
    assert audit.names(db, {2**40}) == {}
    (row,) = audit.newest(db, Wanted(), 1)
    assert matches(Wanted(type="listing.edited", since=now - timedelta(hours=1)), row)
    assert not matches(Wanted(type="listing.created"), row)
    assert not matches(Wanted(since=now + timedelta(days=1)), row)
    assert not matches(Wanted(until=now - timedelta(days=1)), row)


def test_the_walk_goes_on_part_by_part(db: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "WALK", 2)
    ids = [_record(db) for _ in range(5)]
    parts = audit.walk(db, Wanted(subject_type="listing", subject_id=1), audit.top_id(db))
    assert [[row.event_id for row in part] for part in parts] == [ids[:2], ids[2:4], ids[4:]]
