"""Shared fixtures: one migrated database per worker, one rolled-back transaction per test, one app per run."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.app import configure
from marketplace_api.config.settings import Settings
from marketplace_api.database import migrations, row_security
from marketplace_api.database.embedded_postgres import EmbeddedPostgres
from marketplace_api.database.engines import Databases, make_databases
from marketplace_api.domain import contexts
from marketplace_api.domain.media.files.sweep import Report, sweep
from marketplace_api.gateways.storage import make_storage
from tests.factories.accounts import People
from tests.support import postgres
from tests.support.client import Client


def pytest_configure() -> None:
    """A shell without job control ignores Ctrl-C for what it runs behind itself, and our children would inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    contexts.load()


class OneTransaction(Databases):
    """All sessions and readers of a test share one connection, whose outer transaction is rolled back at the end."""

    def __init__(self, databases: Databases, connection: sa.Connection) -> None:
        super().__init__(databases.write, databases.write, owner_url=databases.owner_url)
        self.connection = connection

    @property
    def has_replica(self) -> bool:
        return False

    def session(self) -> Session:
        return Session(
            self.connection,
            expire_on_commit=False,
            join_transaction_mode="create_savepoint",
            info={"on_event": self.on_event},
        )

    def for_requests(self) -> Databases:
        """The same connection as the API talks through it."""
        return _ForRequests(self)


class _ForRequests(Databases):
    """A test's one connection is everybody's; for the time of a request it is as one of the API's, and nobody's before
    the request has said who calls."""

    def __init__(self, test: OneTransaction) -> None:
        super().__init__(test.write, test.read, owner_url=test.owner_url)
        self._test = test

    has_replica = False

    def session(self) -> Session:
        session = self._test.session()
        before = set_caller(self._test.connection, ("", ""))
        close = session.close

        def close_and_restore() -> None:
            close()
            nonlocal before
            if before is not None:
                set_caller(self._test.connection, before)
                before = None

        session.close = close_and_restore  # type: ignore[method-assign]
        return session

    def reader(self, *, known: bool = False) -> sa.Connection:
        return _RequestReader(self._test.connection, set_caller(self._test.connection, ("", "")))  # type: ignore[return-value]

    def give_back(self, reader: sa.Connection) -> None:
        """The fixture closes the connection."""
        self._test.connection.connection.info.pop(row_security._CARRIES, None)
        set_caller(self._test.connection, reader.before)  # type: ignore[attr-defined]

    @property
    def on_event(self) -> Callable[[Session, Any], None] | None:
        return self._test.on_event

    @on_event.setter
    def on_event(self, _none: None) -> None:
        """The test's own."""


class _RequestReader:
    """The shared connection as a reader; ``before`` is who it was before the request."""

    def __init__(self, connection: sa.Connection, before: tuple[str, str]) -> None:
        self.before = before
        self.connection = connection.connection
        self.execute = connection.execute
        self.scalar = connection.scalar


def set_caller(connection: sa.Connection, caller: tuple[str, str]) -> tuple[str, str]:
    """Make the connection this caller's (user id and roles), and return whose it was; past all that counts statements."""
    driver: Any = connection.connection.driver_connection
    answer = driver.pgconn.exec_params(
        b"SELECT coalesce(current_setting('app.user_id', true), ''), coalesce(current_setting('app.roles', true), ''),"
        b" set_config('app.user_id', $1, false), set_config('app.roles', $2, false)",
        [part.encode() for part in caller],
    )
    assert answer.status == psycopg.pq.ExecStatus.TUPLES_OK, answer.error_message
    return answer.get_value(0, 0).decode(), answer.get_value(0, 1).decode()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[EmbeddedPostgres]:
    server = postgres.start_for_tests()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def template_database(postgres_server: EmbeddedPostgres) -> str:
    """A migrated database that others are cloned from."""
    postgres.create_template(postgres_server, "marketplace_template", migrations.upgrade)
    return "marketplace_template"


@pytest.fixture(scope="session")
def worker_url(postgres_server: EmbeddedPostgres, template_database: str) -> str:
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    return postgres.clone_database(postgres_server, template_database, f"worker_{worker}")


@pytest.fixture(scope="session")
def worker_databases(worker_url: str) -> Iterator[Databases]:
    databases = make_databases(worker_url, pool_size=4, system=True)
    yield databases
    databases.dispose()


@contextmanager
def one_transaction(databases: Databases) -> Iterator[OneTransaction]:
    with databases.write.connect() as connection, connection.begin() as outer:
        connection.execute(sa.text("SELECT 1"))  # the driver begins a transaction with its first statement
        yield OneTransaction(databases, connection)
        outer.rollback()


@pytest.fixture
def databases(request: pytest.FixtureRequest, worker_databases: Databases) -> Iterator[OneTransaction]:
    if "shared_databases" not in request.fixturenames:
        with one_transaction(worker_databases) as databases:
            yield databases
        return
    shared: OneTransaction = request.getfixturevalue("shared_databases")
    savepoint = shared.connection.begin_nested()
    yield OneTransaction(worker_databases, shared.connection)
    savepoint.rollback()


@pytest.fixture(scope="module")
def shared_databases(worker_databases: Databases) -> Iterator[OneTransaction]:
    """For what the tests of a module only look at: made once, and after each test as it was. Its clock stands still."""
    with one_transaction(worker_databases) as databases:
        yield databases


@pytest.fixture
def db(databases: Databases) -> Iterator[Session]:
    with databases.session() as session:
        yield session


@pytest.fixture
def committed_databases(postgres_server: EmbeddedPostgres, template_database: str) -> Iterator[Databases]:
    """A throwaway database with real, separate connections: for races and for what must be seen committed."""
    name = f"throwaway_{uuid4().hex[:12]}"
    url = postgres.clone_database(postgres_server, template_database, name)
    databases = make_databases(url, pool_size=30, system=True)
    yield databases
    databases.dispose()
    postgres.drop_database(postgres_server, name)


class CurrentDatabases:
    """What the one app of the run talks through: each test puts its own databases in."""

    target: Databases

    def __getattr__(self, name: str) -> object:
        return getattr(self.target, name)


@pytest.fixture(scope="session")
def configured(settings: Settings) -> tuple[object, CurrentDatabases]:
    """The app is made once: Cornice's services are globals of the process."""
    current = CurrentDatabases()
    return configure(settings, current).make_wsgi_app(), current  # type: ignore[arg-type]


@pytest.fixture
def app(configured: tuple[object, CurrentDatabases], databases: OneTransaction) -> object:
    """The WSGI application on the test's own transaction."""
    wsgi, current = configured
    current.target = databases.for_requests()
    return wsgi


@pytest.fixture
def api_databases(committed_databases: Databases) -> Iterator[Databases]:
    """The throwaway database as the API talks to it: a connection is nobody's before it is known who calls."""
    databases = make_databases(
        committed_databases.owner_url, pool_size=30, on_event=lambda *event: _passed_on(committed_databases, *event)
    )
    yield databases
    databases.dispose()


def _passed_on(databases: Databases, session: Session, event: Any) -> None:
    if databases.on_event is not None:
        databases.on_event(session, event)


@pytest.fixture
def live_app(configured: tuple[object, CurrentDatabases], api_databases: Databases) -> object:
    """The WSGI application on a throwaway database where every request has a connection of its own and commits."""
    wsgi, current = configured
    current.target = api_databases
    return wsgi


@pytest.fixture
def live_people(committed_databases: Databases, live_app: object) -> Iterator[People]:
    """Makes accounts and callers of ``live_app``."""
    with committed_databases.session() as session:
        yield People(session, live_app)


@pytest.fixture
def client(app: object) -> Client:
    """A caller nobody knows."""
    return Client(app)


@pytest.fixture
def people(db: Session, settings: Settings, app: object) -> People:
    """Makes accounts and callers that are logged in to them."""
    return People(db, app)


@pytest.fixture(scope="module")
def shared_people(shared_databases: OneTransaction, configured: tuple[object, CurrentDatabases]) -> Iterator[People]:
    """:func:`people` for what the tests of a module share; it is committed by whoever makes it."""
    wsgi, current = configured
    current.target = shared_databases.for_requests()
    with shared_databases.session() as session:
        yield People(session, wsgi)


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of the test run: cheap hashes, no rate limits, folders of its own."""
    folder: Path = tmp_path_factory.mktemp("data")
    return Settings(data_dir=folder, bcrypt_cost=4, rate_limits=False, email_bounce_secret="secret of the hook")


@pytest.fixture
def limited_files() -> Callable[[int], AbstractContextManager[None]]:
    """A context in which no file can grow beyond so many bytes: what a full disk looks like to a writer."""

    @contextmanager
    def limited(most_bytes: int) -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, handler)

    return limited


@pytest.fixture
def run_sweep(app: object, databases: Databases, settings: Settings) -> Callable[[], Report]:
    """Runs the sweep of files on the test's own database; other tests' files are too young to be strays."""

    def run() -> Report:
        with databases.session() as session:
            return sweep(session, make_storage(settings), datetime.now(UTC))

    return run
