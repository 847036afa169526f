"""When PostgreSQL is away, slow or busy: an honest 503, nothing half-done, and no need to restart anything."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database import migrations
from marketplace_api.database.embedded_postgres import EmbeddedPostgres
from marketplace_api.database.engines import Databases, driver_url, make_databases, settle
from marketplace_api.database.poolers import Pooler
from marketplace_api.database.session_settings import application_settings
from tests.conftest import CurrentDatabases
from tests.factories.accounts import PASSWORD, People
from tests.factories.listings import make_listing
from tests.support.client import Client
from tests.support.postgres import as_owner
from tests.support.problems import assert_problem

NEW = {"title": "Lamp", "category": "furniture", "price": 5, "currency": "EUR", "description": "Bright. " * 2_000}


class Server:
    """A PostgreSQL that a test may kill."""

    def __init__(self, folder: Path) -> None:
        # With all its care for the disk, unlike that of the other tests; a deadlock is found soon.
        self.postgres = EmbeddedPostgres(folder, settings={"deadlock_timeout": "50ms"})
        self.postgres.start()
        self.url = self.postgres.ensure_database("resilience")

    def kill(self) -> None:
        """As the kernel would for want of memory: no good-bye to anyone."""
        process = self.postgres._process
        assert process is not None
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(process.pid, signal.SIGKILL)
        process.wait(30)
        # They end by themselves when they see it, and serve whoever asks until then.
        deadline = time.monotonic() + 30
        while any(Path("/proc", child).exists() for child in children):
            assert time.monotonic() < deadline, "its processes outlive it"
            time.sleep(0.01)

    def restart(self) -> None:
        self.postgres.stop()
        self.postgres.start()
        assert self.postgres.url("resilience") == self.url


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("resilience"))
    migrations.upgrade(server.url)
    yield server
    server.postgres.stop()


@pytest.fixture
def fragile(server: Server) -> Iterator[Databases]:
    databases = make_databases(server.url, pool_size=8, timeout=2)
    yield databases
    databases.dispose()


@pytest.fixture
def people(server: Server, fragile: Databases, configured: tuple[Any, CurrentDatabases]) -> Iterator[People]:
    """Callers of the application on the server that may be killed."""
    wsgi, current = configured
    current.target = fragile
    prepared = make_databases(server.url, pool_size=1, system=True)
    with prepared.session() as session:
        yield People(session, wsgi)
    prepared.dispose()


@pytest.fixture
def path(people: People, owner: Client) -> str:
    return f"/api/listings/{make_listing(people.session, owner.user).listing_id}"


def _assert_away(answer: Any) -> None:
    body = assert_problem(answer, 503, "unavailable")
    assert int(answer.headers["Retry-After"]) >= 1
    assert "nothing was saved" in body["detail"]


def _until_it_answers(client: Client, path: str) -> None:
    deadline = time.monotonic() + 60
    while (answer := client.get(path)).status_int != 200:
        _assert_away(answer)
        assert time.monotonic() < deadline, "it did not heal"


def test_a_database_that_was_killed_is_told_and_forgotten_when_it_is_back(
    server: Server, people: People, owner: Client, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    people.session.close()
    stranger = people.anonymous()
    with ThreadPoolExecutor(8) as threads:  # so that the pools hold connections that will be dead
        answers = list(threads.map(lambda _: Client(owner.app, owner.token).get(path), range(64)))
    assert {answer.status_int for answer in answers} == {200}
    server.kill()
    try:
        requests: list[Callable[[], Any]] = [
            lambda: stranger.get(path),
            lambda: owner.get(path),
            lambda: stranger.get("/api/listings?search=bicycle"),
            lambda: stranger.get("/api/categories"),
            lambda: owner.post("/api/listings", NEW),
            lambda: owner.put(path, {"title": "x"}),
            lambda: owner.delete(path),
            lambda: stranger.post("/api/auth/login", {"email": owner.user.email, "password": PASSWORD}),
            lambda: owner.post("/api/listings", NEW, Idempotency_Key="k"),
            lambda: owner.request("HEAD", path),
        ]
        for _ in range(3):
            for number, request in enumerate(requests):
                answer = request()
                if number == len(requests) - 1:
                    assert answer.status_int == 503
                else:
                    _assert_away(answer)
        assert stranger.get("/healthz").status_int == 200
        assert stranger.get("/api").status_int == 200  # needs no database
        ready = stranger.get("/readyz")
        assert (ready.status_int, ready.json["checks"]["database"]) == (503, "unavailable")
    finally:
        server.restart()
    for client in (stranger, owner):
        _until_it_answers(client, path)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: Client(owner.app, owner.token).get(path), range(64)))  # whatever is left of the dead
    answers = [client.get(path) for client in (stranger, owner) for _ in range(10)]
    answers += [owner.put(path, {"title": "Back again"}), owner.post("/api/listings", NEW), stranger.get("/readyz")]
    assert {answer.status_int for answer in answers} == {200, 201}
    assert owner.get(path).json["title"] == "Back again"
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_healing_costs_no_more_than_a_request_or_two(server: Server, people: People, owner: Client, path: str) -> None:
    """A pool full of dead connections must not fail one request for each of them."""
    people.session.close()
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: Client(owner.app, owner.token).get(path), range(64)))
    server.kill()
    server.restart()
    failed = [answer for answer in (owner.get(path) for _ in range(30)) if answer.status_int != 200]
    for answer in failed:
        _assert_away(answer)
    assert len(failed) <= 2


def test_a_server_that_dies_in_the_middle_of_a_request_leaves_nothing_of_it(
    server: Server, fragile: Databases, owner: Client
) -> None:
    killed: list[bool] = []

    def die(_session: Session, _event: Any) -> None:
        killed.append(True)
        server.kill()

    fragile.on_event = die
    try:
        _assert_away(owner.post("/api/listings", NEW, Idempotency_Key="k"))
    finally:
        fragile.on_event = None
        server.restart()
    assert killed == [True]
    _until_it_answers(owner, "/api/users/me")
    assert owner.get("/api/users/me/listings").json["totalItems"] == 0
    again = owner.post("/api/listings", NEW, Idempotency_Key="k")
    assert (again.status_int, "Idempotent-Replayed" in again.headers) == (201, False)


def test_a_session_that_the_server_ended_is_replaced(fragile: Databases, owner: Client, path: str) -> None:
    end = sa.text(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
        "WHERE application_name = 'marketplace' AND pid <> pg_backend_pid()"
    )
    with fragile.write.begin() as connection, as_owner(connection):
        connection.execute(end)
    for client in (Client(owner.app), owner):
        _until_it_answers(client, path)
    deadline = time.monotonic() + 30
    while (answer := owner.put(path, {"title": "Changed"})).status_int != 200:
        _assert_away(answer)
        assert time.monotonic() < deadline


def test_a_statement_that_takes_too_long_is_given_up(fragile: Databases, owner: Client, path: str) -> None:
    with fragile.write.begin() as other:
        other.execute(sa.text("SELECT * FROM listings FOR UPDATE"))
        _assert_away(owner.put(path, {"title": "Waits for the lock"}))
        assert owner.get(path).status_int == 200  # readers do not wait
    assert owner.put(path, {"title": "Has the lock"}).status_int == 200


def test_a_pool_without_a_free_connection_is_told(
    server: Server, people: People, owner: Client, path: str, configured: tuple[Any, CurrentDatabases]
) -> None:
    people.session.close()
    engines: list[sa.Engine] = [
        sa.create_engine(driver_url(server.url), pool_size=2, max_overflow=0, pool_timeout=0.2, isolation_level=level)
        for level in ("READ COMMITTED", "AUTOCOMMIT")
    ]
    for engine in engines:
        settle(engine, application_settings(system=False), Pooler.NONE)
    small = Databases(engines[0], engines[1])
    configured[1].target = small
    try:
        with ExitStack() as held:
            for engine in engines:
                for _ in range(2):
                    held.enter_context(engine.connect())
            _assert_away(owner.get(path))
            _assert_away(owner.put(path, {"title": "x"}))
            assert Client(owner.app).get("/readyz").json["checks"]["database"] == "no free connection"
        assert owner.get(path).status_int == 200
        assert owner.put(path, {"title": "x"}).status_int == 200
        # Nothing that was refused has kept a connection.
        small.readers.release()
        assert [engine.pool.checkedout() for engine in engines] == [0, 0]  # type: ignore[attr-defined]
    finally:
        small.dispose()


def test_no_answer_keeps_a_connection(fragile: Databases, people: People, owner: Client, path: str) -> None:
    people.session.close()
    for answer in (
        owner.get(path),
        owner.get("/api/listings/999999"),
        owner.put(path, {"title": ""}),
        owner.put(path, {"title": "x"}),
        Client(owner.app, "garbage").get(path),
        owner.get(path, Accept="text/csv"),
        owner.request("PATCH", "/api"),
        owner.post(f"{path}/publish", {}),
        owner.get("/api/listings?page=0"),
        owner.post("/api/listings", NEW, Idempotency_Key="k"),
        owner.post("/api/listings", NEW, Idempotency_Key="k"),
        owner.post(f"{path}/deactivate", {}, Prefer="dry-run"),
        owner.get(path, If_None_Match="*"),
        owner.request("HEAD", path),
        owner.request("OPTIONS", path),
    ):
        assert answer.status_int < 500
    fragile.readers.release()
    assert (fragile.read.pool.checkedout(), fragile.write.pool.checkedout()) == (0, 0)  # type: ignore[attr-defined]


# Serialization failures: nobody's fault, so they are tried again before anybody hears of them.

FAIL = sa.text("DO $$ BEGIN RAISE EXCEPTION 'could not serialize access' USING ERRCODE = '40001'; END $$")


@pytest.mark.parametrize("failures", [1, 2])
def test_a_serialization_failure_is_tried_again(failures: int, fragile: Databases, owner: Client) -> None:
    tries: list[int] = []

    def fail(session: Session, _event: Any) -> None:
        tries.append(1)
        if len(tries) <= failures:
            session.execute(FAIL)

    fragile.on_event = fail
    created = owner.post("/api/listings", NEW)  # a body longer than what is kept in memory must be there again
    fragile.on_event = None
    assert (created.status_int, len(tries)) == (201, failures + 1)
    assert created.json["description"] == NEW["description"].strip()  # type: ignore[attr-defined]
    assert owner.get("/api/users/me/listings").json["totalItems"] == 1


def test_a_serialization_failure_that_lasts_is_told_in_the_end(fragile: Databases, owner: Client) -> None:
    tries: list[int] = []

    def fail(session: Session, _event: Any) -> None:
        tries.append(1)
        session.execute(FAIL)

    fragile.on_event = fail
    _assert_away(owner.post("/api/listings", NEW))
    fragile.on_event = None
    assert len(tries) == 3
    assert owner.get("/api/users/me/listings").json["totalItems"] == 0


def test_two_who_wait_for_each_other_both_succeed(fragile: Databases, people: People, owner: Client) -> None:
    """PostgreSQL ends one of two transactions in a deadlock; that one is tried again."""
    rows = [make_listing(people.session, owner.user, title=title) for title in ("First", "Second")]
    paths = [f"/api/listings/{row.listing_id}" for row in rows]
    met: set[int] = set()

    def cross(session: Session, event: Any) -> None:
        """After its own row each edit also takes the other's."""
        if event.type != "listing.edited" or event.subject_id in met:
            return
        met.add(event.subject_id)
        deadline = time.monotonic() + 30
        while len(met) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        other = next(row.listing_id for row in rows if row.listing_id != event.subject_id)
        session.execute(sa.text("SELECT 1 FROM listings WHERE listing_id = :id FOR UPDATE"), {"id": other})

    fragile.on_event = cross
    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(lambda path: Client(owner.app, owner.token).put(path, {"title": "Both"}), paths))
    fragile.on_event = None
    assert [answer.status_int for answer in answers] == [200, 200]
    assert {owner.get(path).json["title"] for path in paths} == {"Both"}
