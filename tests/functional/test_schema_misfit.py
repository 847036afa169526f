"""A database that does not fit this code: never migrated, older, or newer in a way that cannot work."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from marketplace_api import boot
from marketplace_api.database import migrations
from marketplace_api.database.embedded_postgres import EmbeddedPostgres
from marketplace_api.database.engines import Databases, make_databases
from marketplace_api.domain.operations.health import SchemaWatch, database_state
from tests.factories.accounts import PASSWORD
from tests.support.client import Client
from tests.support.postgres import drop_database
from tests.support.problems import assert_problem

UPGRADE = "marketplace-admin db upgrade"


@pytest.fixture
def caller(live_app: Any) -> Client:
    return Client(live_app)


@pytest.fixture
def url(committed_databases: Databases) -> str:
    """The owner's, of the database that the application is on."""
    return boot.connection_url(committed_databases)


@pytest.fixture
def nothing_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A release that was installed without its migrations."""
    monkeypatch.setattr(migrations, "FOLDER", tmp_path / "missing")
    migrations.head.cache_clear()
    migrations.revisions.cache_clear()
    yield
    monkeypatch.undo()
    migrations.head.cache_clear()
    migrations.revisions.cache_clear()


def _requests(caller: Client) -> list[Any]:
    """One answer of each kind: reading, searching, writing, logging in, with a token that is none."""
    return [
        caller.get("/api/listings/1"),
        caller.get("/api/listings?search=lamp"),
        caller.get("/api/categories"),
        caller.post("/api/auth/login", {"email": "anna@example.org", "password": PASSWORD}),
        caller.post("/api/auth/refresh", {"refresh_token": "1." + "x" * 43}),
    ]


def _execute(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


@pytest.mark.parametrize("revision", ["base", "0012", "0026"])
def test_an_older_schema_is_refused_in_a_sentence_and_told_in_the_log_once(
    revision: str, caller: Client, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    migrations.downgrade(url, revision)
    ready = caller.get("/readyz")
    assert (ready.status_int, ready.json["status"], ready.json["checks"]["database"]) == (503, "unavailable", "ok")
    assert UPGRADE in ready.json["checks"]["migrations"]
    assert ("never migrated" if revision in ("base", "0012") else revision) in ready.json["checks"]["migrations"]
    assert caller.get("/healthz").status_int == 200
    with capture_logs() as logged:
        answers = [answer for _ in range(3) for answer in _requests(caller)]
    refused = [answer for answer in answers if answer.status_int == 503]
    # A step back is missed only by those who ask for what the later revisions made.
    assert len(refused) >= (1 if revision == "0026" else 9)
    for answer in refused:
        assert UPGRADE in assert_problem(answer, 503, "schema_mismatch")["detail"]
        assert int(answer.headers["Retry-After"]) >= 5
    assert not [answer for answer in answers if answer.status_int == 500]
    assert [line["event"] for line in logged if line["log_level"] == "error"] == ["schema.misfit"]
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_an_upgrade_mends_it_without_a_restart(caller: Client, url: str) -> None:
    migrations.downgrade(url, "base")
    assert_problem(caller.get("/api/categories"), 503, "schema_mismatch")
    migrations.upgrade(url)
    assert caller.get("/api/categories").status_int == 200
    assert caller.get("/readyz").json["status"] == "ready"


def test_a_mistake_in_a_statement_is_not_blamed_on_a_schema_that_fits(
    caller: Client, committed_databases: Databases, url: str
) -> None:
    """What nobody's migration mends stays an error of ours."""
    _execute(url, "ALTER TABLE categories RENAME TO elsewhere")
    assert_problem(caller.get("/api/categories"), 500, "internal_error")
    with pytest.raises(sa.exc.ProgrammingError) as raised, committed_databases.write.connect() as connection:
        connection.execute(sa.text("SELECT nothing FROM nowhere"))
    assert SchemaWatch().explain(raised.value, committed_databases) is None


def test_a_newer_schema_is_ready_while_everything_is_there_that_this_code_reads(caller: Client, url: str) -> None:
    _execute(url, "UPDATE alembic_version SET version_num = '9001'")
    _execute(url, "ALTER TABLE listings ADD COLUMN added_by_the_next_release integer")
    assert caller.get("/readyz").status_int == 200
    _execute(url, "ALTER TABLE categories RENAME TO kinds")
    _execute(url, "ALTER TABLE reviews RENAME COLUMN rating TO stars")
    ready = caller.get("/readyz")
    assert ready.status_int == 503
    told = ready.json["checks"]["migrations"]
    assert "9001" in told and "categories" in told and "reviews.rating" in told and UPGRADE not in told
    assert "9001" in assert_problem(caller.get("/api/categories"), 503, "schema_mismatch")["detail"]


def test_two_revisions_at_once_are_told(caller: Client, url: str) -> None:
    _execute(url, "INSERT INTO alembic_version VALUES ('other')")
    assert caller.get("/readyz").status_int == 200  # another branch, which only adds
    _execute(url, "DROP TABLE bookmarks")
    ready = caller.get("/readyz")
    assert ready.status_int == 503 and "bookmarks" in ready.json["checks"]["migrations"]


@pytest.mark.usefixtures("nothing_found")
@pytest.mark.parametrize("revision", ["0027", None])
def test_a_release_without_migrations_is_not_ready(revision: str | None, caller: Client, url: str) -> None:
    assert (migrations.head(), migrations.revisions()) == (None, frozenset())
    assert not migrations.suffices(revision)
    if revision is None:
        _execute(url, "DROP TABLE alembic_version")
    ready = caller.get("/readyz")
    assert ready.status_int == 503
    assert "No migrations were found" in ready.json["checks"]["migrations"]


def test_an_empty_database_is_not_ready(postgres_server: EmbeddedPostgres, caller: Client, configured: Any) -> None:
    """One that was just made: without any table, grant or extension."""
    configured[1].target = empty = make_databases(postgres_server.ensure_database("empty_one"))
    try:
        states = database_state(empty)
        assert states["database"] == "ok" and UPGRADE in states["migrations"]
        assert caller.get("/readyz").status_int == 503
        assert_problem(caller.get("/api/categories"), 503, "schema_mismatch")
    finally:
        empty.dispose()
        drop_database(postgres_server, "empty_one")


def test_a_cluster_that_does_not_know_the_application_is_not_taken_for_one_that_is_away(
    tmp_path: Path, configured: Any, caller: Client
) -> None:
    """The first migration makes the role that every connection becomes."""
    server = EmbeddedPostgres(tmp_path / "fresh")
    server.start()
    try:
        configured[1].target = fresh = make_databases(server.ensure_database("fresh"))
        states = database_state(fresh)
        assert states["database"] == "ok" and UPGRADE in states["migrations"]
        assert UPGRADE in assert_problem(caller.get("/api/categories"), 503, "schema_mismatch")["detail"]
        fresh.dispose()
    finally:
        server.stop()
