"""The service's processes behind a real PgBouncer, in the set-ups that people have."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from marketplace_api.database.engines import Databases, libpq_url, make_databases
from marketplace_api.database.listen_notify import PostgresTransport
from marketplace_api.database.poolers import Pooler
from marketplace_api.domain.eventlog import feed
from marketplace_api.domain.kernel.actors import ANONYMOUS
from marketplace_api.domain.kernel.events import EventType, record
from marketplace_api.domain.trust.moderation.locks import batch_lock, locked_batches
from marketplace_api.jobs import dispatch
from tests.factories.accounts import make_user
from tests.support.pgbouncer import needs_pgbouncer, pooled

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 120
pytestmark = needs_pgbouncer


@pytest.fixture
def own(committed_databases: Databases) -> str:
    """The database past the pooler, by its owner's URL."""
    return libpq_url(committed_databases.owner_url)


@pytest.fixture
def behind(own: str) -> Iterator[Databases]:
    """As a process for everybody sees the database through a pooler of transactions with one server."""
    with pooled(own, "transaction") as url:
        databases = make_databases(url, direct_url=own, pooler=Pooler.TRANSACTION, system=True)
        yield databases
        databases.dispose()


def _wait_for(databases: Databases, question: str) -> Any:
    deadline = time.monotonic() + SECONDS
    while True:
        with databases.session() as session:
            found = session.execute(sa.text(question)).scalar_one()
        if found:
            return found
        assert time.monotonic() < deadline, question
        time.sleep(0.05)


@contextmanager
def _worker(folder: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "marketplace_api.cli", "--ini", str(ROOT / "development.ini"), "jobs", "run"]
    named = {**os.environ, "DATA_DIR": str(folder), "PYTHONPATH": str(ROOT), **environment}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=named, cwd=ROOT)
        try:
            yield process
        finally:
            process.kill()
            process.wait(30)


@pytest.mark.parametrize(
    ("mode", "servers", "pooler"), [("session", 60, "auto"), ("session", 60, "session"), ("transaction", 1, "auto")]
)
def test_a_worker_does_its_jobs_where_the_pooler_drops_options(
    committed_databases: Databases, own: str, tmp_path: Path, mode: str, servers: int, pooler: str
) -> None:
    """With the owner's login, and nothing but the two URLs."""
    committed_databases.on_event = dispatch.dispatch
    with pooled(own, mode, servers=servers, ignored="options,extra_float_digits") as url:
        direct = {"DATABASE_DIRECT_URL": own} if mode == "transaction" else {}
        with _worker(tmp_path, DATABASE_URL=url, DATABASE_POOLER=pooler, **direct) as worker:
            _wait_for(committed_databases, "SELECT count(*) > 0 FROM procrastinate_workers")
            with committed_databases.session() as session, session.begin():
                user = make_user(session)
                record(session, ANONYMOUS, EventType.USER_PASSWORD_CHANGED, user.user_id)
            assert _wait_for(committed_databases, "SELECT count(*) FROM notifications") == 1
            waiting = (
                "SELECT count(*) = 0 FROM procrastinate_jobs WHERE task_name = 'handle_event' OR status = 'failed'"
            )
            assert _wait_for(committed_databases, waiting)
            seen = "SELECT DISTINCT usename FROM pg_stat_activity WHERE application_name = 'marketplace worker'"
            with psycopg.connect(own) as owner:
                assert owner.execute(seen).fetchall() == [(sa.make_url(own).username,)], "it is there at this moment"
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(60) == 0, (tmp_path / "log").read_text()


def test_what_needs_a_session_goes_past_it(committed_databases: Databases, behind: Databases, own: str) -> None:
    with batch_lock(behind, 7):
        for _ in range(3):
            with behind.reader() as db:
                assert locked_batches(db, [7, 8]) == {7}
    with behind.reader() as db:
        assert locked_batches(db, [7]) == frozenset()
    following = feed.follow(behind, 0, lambda _text: None)
    with closing(following):  # type: ignore[type-var]
        assert list(next(following)) == []
        with behind.session() as session, session.begin():
            user = make_user(session)
            record(session, ANONYMOUS, EventType.USER_PASSWORD_CHANGED, user.user_id)
        found = next(rows for rows in following if rows)
        assert [(row.type, row.subject_id) for row in found] == [("user.password_changed", user.user_id)]
    transport = PostgresTransport(libpq_url(behind.direct.url), "somewhere")
    with closing(transport), closing(transport.listen()) as heard:
        assert next(heard) is None
        transport.publish(b"hello")
        assert next(text for text in heard if text) == b"hello"


def test_a_large_answer_is_streamed_as_the_one_who_asks(behind: Databases) -> None:
    statement = sa.text("SELECT current_user, current_setting('app.roles') FROM generate_series(1, 500)")
    with behind.session() as session:
        rows = session.connection().execute(statement, execution_options={"stream_results": True, "yield_per": 100})
        assert {tuple(row) for row in rows} == {("marketplace_app", "system")}
