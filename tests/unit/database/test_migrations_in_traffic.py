"""A migration among other transactions: it gives way, and comes again by itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from marketplace_api import boot
from marketplace_api.cli.db.commands import upgrade
from marketplace_api.database import migrations
from marketplace_api.database.engines import Databases
from tests.support.polling import until_somebody_waits

BEFORE = "0026"  # the revision after it locks notifications, then its row of alembic_version


@pytest.fixture
def url(committed_databases: Databases) -> str:
    url = boot.connection_url(committed_databases)
    migrations.downgrade(url, BEFORE)
    return url


@contextmanager
def _migrating(url: str, told: list[str], attempts: int = 10) -> Iterator[threading.Thread]:
    failed: list[BaseException] = []

    def run() -> None:
        try:
            boot.upgrade(url, attempts=attempts, tell=told.append)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    yield thread
    thread.join(120)
    assert not thread.is_alive()
    if failed:
        raise failed[0]


def _until_told(told: list[str], sentences: int) -> None:
    for _ in range(6_000):
        if len(told) >= sentences:
            return
        time.sleep(0.01)
    raise AssertionError(f"it was told {len(told)} times")


def test_after_a_deadlock_it_is_tried_again(
    url: str, committed_databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other transaction never gives way, so PostgreSQL ends the migration's."""
    monkeypatch.setenv("PGOPTIONS", "-c deadlock_timeout=3s -c lock_timeout=60s")
    told: list[str] = []
    with psycopg.connect(url) as other:
        other.execute("SET LOCAL deadlock_timeout = '10min'")
        other.execute("LOCK TABLE alembic_version IN EXCLUSIVE MODE")
        with _migrating(url, told):
            until_somebody_waits(committed_databases)
            # Comes free with the end of the migration's transaction, and with nothing else.
            other.execute("LOCK TABLE notifications IN ACCESS EXCLUSIVE MODE")
            other.commit()
    assert told == [
        "The migration and another transaction waited for each other, and its revision was undone: "
        "trying again (2 of 10)."
    ]
    assert boot.schema_is_current(url)


def test_a_lock_is_not_waited_for_while_others_queue_behind(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrations, "LOCK_TIMEOUT", "200ms")
    told: list[str] = []
    with psycopg.connect(url) as other:
        other.execute("LOCK TABLE notifications IN SHARE UPDATE EXCLUSIVE MODE")
        with _migrating(url, told):
            _until_told(told, 2)
            other.commit()
    assert told[:2] == [
        f"A lock did not come free in time, and its revision was undone: trying again ({attempt} of 10)."
        for attempt in (2, 3)
    ]
    assert boot.schema_is_current(url)


def test_after_the_last_attempt_a_sentence_says_what_is_left_to_do(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrations, "LOCK_TIMEOUT", "100ms")
    told: list[str] = []
    with psycopg.connect(url) as other:
        other.execute("LOCK TABLE notifications IN SHARE UPDATE EXCLUSIVE MODE")
        with (
            pytest.raises(boot.BootError, match=f"nothing was changed since {BEFORE}: see in pg_stat_activity"),
            _migrating(url, told, attempts=2),
        ):
            pass
    assert len(told) == 1
    assert boot.current_revision(url) == BEFORE


def test_who_sets_a_timeout_keeps_it(url: str, committed_databases: Databases, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that comes free later than ours would let it, and sooner than theirs."""
    monkeypatch.setattr(migrations, "LOCK_TIMEOUT", "1ms")
    monkeypatch.setenv("PGOPTIONS", "-c lock_timeout=60s")
    told: list[str] = []
    with psycopg.connect(url) as other:
        other.execute("LOCK TABLE alembic_version IN EXCLUSIVE MODE")
        with _migrating(url, told):
            until_somebody_waits(committed_databases)
            other.commit()
    assert told == []
    assert boot.schema_is_current(url)


def test_another_error_is_not_tried_again(url: str) -> None:
    told: list[str] = []
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("DROP TABLE notifications CASCADE")
    with pytest.raises(Exception, match="notifications"):  # noqa: SIM117
        with _migrating(url, told):
            pass
    assert told == []


def test_the_command_tries_as_often_as_the_code() -> None:
    [option] = [option for option in upgrade.params if option.name == "attempts"]
    assert option.default == migrations.ATTEMPTS
