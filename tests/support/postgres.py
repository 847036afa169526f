"""The PostgreSQL of a test run: one server, a migrated template, and a clone of it for each worker.

The processes of one run (the workers of pytest-xdist, and the controller if it starts the server first) share
it. Who started it stops it, and deletes its folder, only after all the others have called `stop()` or ended.
"""

import fcntl
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import psycopg
import sqlalchemy as sa
from psycopg import sql
from sqlalchemy.orm import Session

from marketplace_api.database.embedded_postgres import EmbeddedPostgres
from marketplace_api.database.row_security import APP_ROLE

# A test's data may be lost with the machine, so nothing waits for the disk.
SETTINGS: Mapping[str, str] = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "128MB",
    "max_connections": "100",
}

_RUN = "MARKETPLACE_TEST_RUN"
_OTHERS_SECONDS = 600
_PREFIX = "marketplace-test-"
_MEMORY = Path("/dev/shm")
_PLENTY_BYTES = 4 * 1024**3


class _SharedPostgres(EmbeddedPostgres):
    """A server whose owner waits for the other processes that use it."""

    _users: IO[str] | None = None

    def start(self) -> str:
        if self._users is None:
            self._users = self._join()
        return super().start()

    def stop(self) -> None:
        users, self._users = self._users, None
        if users is None:
            return
        with users:
            if self._process is None:
                super().stop()
                return
            deadline = time.monotonic() + _OTHERS_SECONDS
            while not _is_last(users) and time.monotonic() < deadline:
                time.sleep(0.05)
            super().stop()
            shutil.rmtree(self._folder, ignore_errors=True)

    def _join(self) -> IO[str]:
        """Holds a shared lock for as long as we use the server."""
        path = self._folder / "users"
        while True:
            self._folder.mkdir(parents=True, exist_ok=True)
            users = path.open("a")
            fcntl.flock(users, fcntl.LOCK_SH)
            # An owner who left while we waited has deleted the file that we now hold.
            if path.exists() and os.path.samestat(path.stat(), os.fstat(users.fileno())):
                return users
            users.close()


def _is_last(users: IO[str]) -> bool:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def as_owner(db: Session | sa.Connection) -> Iterator[None]:
    """The owner's rights for what the application may not do, in the transaction of ``db``."""
    db.execute(sa.text("SET LOCAL ROLE NONE"))
    yield
    db.execute(sa.text(f"SET LOCAL ROLE {APP_ROLE}"))


def start_for_tests() -> EmbeddedPostgres:
    """Returns the started server of this test run.

    Its folder is named after the run and lies in `$MARKETPLACE_TEST_DATA`, or else in memory where there is plenty, or
    among the temporary files.
    """
    run = os.environ.get(_RUN) or os.environ.get("PYTEST_XDIST_TESTRUNUID") or uuid.uuid4().hex
    os.environ[_RUN] = run  # for the workers that this process may start
    base = Path(os.environ.get("MARKETPLACE_TEST_DATA") or _fastest())
    _sweep(base)
    server = _SharedPostgres(base / f"{_PREFIX}{run}", settings=SETTINGS)
    server.start()
    return server


def _fastest() -> str:
    """A clone is a thousand small files, which disks take half a second for."""
    plenty = _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free >= _PLENTY_BYTES
    return str(_MEMORY) if plenty else tempfile.gettempdir()


def _sweep(base: Path) -> None:
    """What a run left behind that was killed with all of its processes."""
    for path in base.glob(f"{_PREFIX}*/users"):
        try:
            with path.open("a") as users:
                if _is_last(users):
                    shutil.rmtree(path.parent, ignore_errors=True)
        except OSError:  # somebody else's, or gone by now
            continue


def create_template(server: EmbeddedPostgres, name: str, migrate: Callable[[str], None]) -> None:
    """Makes the database `name` once per run, lets `migrate` fill it by URL, and closes it for cloning."""
    with _connect(server) as connection:
        # A second worker waits here until the first has migrated, and then finds the template.
        connection.execute("SELECT pg_advisory_lock(hashtext(%s))", [name])
        finished = "SELECT 1 FROM pg_database WHERE datname = %s AND datistemplate"
        if connection.execute(finished, [name]).fetchone() is None:
            drop_database(server, name)
            migrate(server.ensure_database(name))
            close = sql.SQL("ALTER DATABASE {} WITH IS_TEMPLATE true ALLOW_CONNECTIONS false")
            connection.execute(close.format(sql.Identifier(name)))


def clone_database(server: EmbeddedPostgres, template: str, name: str) -> str:
    """Makes (again) the database `name` as a copy of the template and returns its URL."""
    drop_database(server, name)
    with _connect(server) as connection:
        copy = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY")
        connection.execute(copy.format(sql.Identifier(name), sql.Identifier(template)))
    return server.url(name)


def drop_database(server: EmbeddedPostgres, name: str) -> None:
    """Drops the database if there is one, whoever is still connected."""
    with _connect(server) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _connect(server: EmbeddedPostgres) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(server.url("postgres"), autocommit=True, connect_timeout=10)
