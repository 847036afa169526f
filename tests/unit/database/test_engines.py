"""Connections that wait for the next request: how they are shared, given up and replaced."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event, Lock

import pytest
import sqlalchemy as sa

from marketplace_api.database.engines import Databases, Readers, make_databases


def _pool(readers: Readers) -> sa.QueuePool:
    pool = readers._engine.pool
    assert isinstance(pool, sa.QueuePool)
    return pool


@pytest.fixture
def databases(worker_url: str) -> Iterator[Databases]:
    """At most two connections for reading."""
    databases = make_databases(worker_url, pool_size=1)
    yield databases
    databases.dispose()


@pytest.fixture
def readers(databases: Databases) -> Readers:
    return databases.readers


def _session(reader: sa.Connection) -> int:
    return int(reader.execute(sa.text("SELECT pg_backend_pid()")).scalar_one())


def test_the_next_request_reads_through_the_same_connection(readers: Readers) -> None:
    first = readers.take()
    session = _session(first)
    readers.give_back(first)
    second = readers.take()
    assert second is first
    assert not second.in_transaction()
    assert _session(second) == session
    readers.give_back(second)


def test_two_at_a_time_never_share_one(readers: Readers) -> None:
    first, second = readers.take(), readers.take()
    assert _session(first) != _session(second)
    for reader in (first, second):
        readers.give_back(reader)
    readers.release()
    assert _pool(readers).checkedout() == 0


def test_who_waits_gets_what_is_given_back(readers: Readers) -> None:
    held = [readers.take(), readers.take()]
    asking = Event()

    def ask() -> int:
        asking.set()
        reader = readers.take()
        session = _session(reader)
        readers.give_back(reader)
        return session

    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(ask)
        asking.wait()
        sessions = {_session(reader) for reader in held}
        for reader in held:
            readers.give_back(reader)
        assert answer.result() in sessions


def test_many_threads_share_few_connections(readers: Readers) -> None:
    together, lock = Barrier(8), Lock()
    held: list[int] = []

    def ask(_number: int) -> int:
        together.wait()
        most = 0
        for _ in range(50):
            reader = readers.take()
            session = _session(reader)
            with lock:
                assert session not in held
                held.append(session)
                most = max(most, len(held))
            with lock:
                held.remove(session)
            readers.give_back(reader)
        return most

    with ThreadPoolExecutor(8) as threads:
        # Who waits may get a new one in place of one that was given up: at a time there are two at most.
        assert max(threads.map(ask, range(8))) <= 2
    readers.release()
    assert _pool(readers).checkedout() == 0


def test_one_that_broke_takes_the_idle_with_it(readers: Readers) -> None:
    broken, idle = readers.take(), readers.take()
    session = _session(idle)
    readers.give_back(idle)
    broken.invalidate()
    readers.give_back(broken)
    fresh = readers.take()
    assert _session(fresh) != session
    readers.give_back(fresh)


def test_the_end_leaves_no_session_behind(databases: Databases) -> None:
    reader = databases.reader()
    session = _session(reader)
    databases.give_back(reader)
    databases.dispose()
    with databases.write.connect() as connection:
        left = connection.execute(sa.text("SELECT count(*) FROM pg_stat_activity WHERE pid = :pid"), {"pid": session})
        assert left.scalar_one() == 0
