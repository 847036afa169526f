"""`events tail --follow` as a process of its own: what comes, and the ways it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from marketplace_api import boot
from marketplace_api.database import migrations
from marketplace_api.database.embedded_postgres import EmbeddedPostgres
from marketplace_api.database.engines import Databases, make_databases
from marketplace_api.domain.kernel.actors import ANONYMOUS
from marketplace_api.domain.kernel.events import EventType, record
from tests.support.postgres import SETTINGS

ROOT = Path(__file__).resolve().parents[3]
Follow = Callable[..., "subprocess.Popen[str]"]


def _record(databases: Databases, kind: EventType = EventType.LISTING_EDITED) -> int:
    with databases.session() as session:
        event_id = record(session, ANONYMOUS, kind, 1, new={"title": "é"}).event_id
        session.commit()
    return event_id


@contextmanager
def _following(url: str, folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    environment = {
        **os.environ,
        "DATABASE_URL": url,
        "DATA_DIR": str(folder),
        "MARKETPLACE_INI": str(ROOT / "development.ini"),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "marketplace_api.cli", *words, "events", "tail", "--follow"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def _said(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    return process.stderr.readline()


@pytest.fixture
def url(committed_databases: Databases) -> str:
    return boot.connection_url(committed_databases)


def test_events_come_as_they_happen_until_ctrl_c(committed_databases: Databases, url: str, tmp_path: Path) -> None:
    before = _record(committed_databases)
    with _following(url, tmp_path, "--json") as process:
        assert json.loads(_line(process))["event_id"] == before
        for kind in (EventType.LISTING_EDITED, EventType.LISTING_DELETED):
            event_id = _record(committed_databases, kind)
            found = json.loads(_line(process))
            assert (found["event_id"], found["type"], found["new"]) == (event_id, kind, {"title": "é"})
        process.send_signal(signal.SIGINT)
        rest, told = process.communicate(timeout=30)
        assert (process.returncode, rest, told) == (0, "", "")


def test_people_get_lines(committed_databases: Databases, url: str, tmp_path: Path) -> None:
    with _following(url, tmp_path) as process:
        assert _line(process).split()[:3] == ["time", "event_id", "type"]
        event_id = _record(committed_databases)
        assert f" {event_id} " in _line(process)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


def test_a_reader_who_goes_away_ends_it_silently(committed_databases: Databases, url: str, tmp_path: Path) -> None:
    _record(committed_databases)
    with _following(url, tmp_path, "--json") as process:
        _line(process)
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        # It notices without any event to write.
        assert process.wait(30) == 0
        assert process.stderr.read() == ""
        process.stdout = None


def test_the_server_may_crash_and_come_back(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "postgres", settings=SETTINGS)
    server.start()
    try:
        url = server.ensure_database("following")
        migrations.upgrade(url)
        databases = make_databases(url)
        first = _record(databases)
        with _following(url, tmp_path, "--json") as process:
            assert json.loads(_line(process))["event_id"] == first
            with databases.primary_reader() as db:
                assert db.connection.driver_connection is not None
                # PostgreSQL ends everybody's connections and restarts when one of its processes dies so.
                os.kill(db.connection.driver_connection.info.backend_pid, signal.SIGKILL)
                db.invalidate()
            assert "is away" in _said(process)
            second = _recorded_at_last(databases)
            assert "is back" in _said(process)
            assert json.loads(_line(process))["event_id"] == second
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
        databases.dispose()
    finally:
        server.stop()


def _recorded_at_last(databases: Databases) -> int:
    for _ in range(300):
        databases.dispose()
        try:
            return _record(databases)
        except OperationalError:
            time.sleep(0.1)
    raise AssertionError("the server did not come back")
