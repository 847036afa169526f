"""Connections of which nothing lasts longer than a transaction: for a pooler that gives each transaction another server.

Who the application is and who calls is kept here, in this process, and sent along with every transaction: in the same
round trip as its first statement, and undone by the server itself when the transaction ends, however it ends. So
whoever gets the server's connection next finds nothing on it, and no statement ever runs without its caller.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn, Self

import psycopg
from psycopg import Transaction, sql
from psycopg.copy import Writer
from psycopg.pq import PipelineStatus, TransactionStatus

USER, ROLES = "app.user_id", "app.roles"


class PerTransactionConnection(psycopg.Connection[Any]):
    """A connection that introduces itself anew in each transaction; see :func:`connect`."""

    _prelude: bytes
    _own: tuple[str, str] = ("", "")
    caller: tuple[str, str] | None = None
    """User id and roles of who calls at this moment; ``None`` is the process itself, or nobody."""

    def introduce_itself(self) -> None:
        """Sends the settings of the transaction; inside of a pipeline, together with what follows."""
        psycopg.Cursor(self).execute(self._prelude, self.caller or self._own, prepare=False)

    def begin(self) -> None:
        """Where the next statement begins a transaction: begins it, in a round trip of its own."""
        if self.autocommit:
            raise psycopg.NotSupportedError("Behind a pooler of transactions this needs a transaction around it.")
        if self.info.transaction_status == TransactionStatus.IDLE:
            self.introduce_itself()

    @contextmanager
    def transaction(self, savepoint_name: str | None = None, force_rollback: bool = False) -> Iterator[Transaction]:
        begins = self.info.transaction_status == TransactionStatus.IDLE
        with super().transaction(savepoint_name, force_rollback) as transaction:
            if begins:
                self.introduce_itself()
            yield transaction


def connect(settings: Mapping[str, str], *args: Any, **keywords: Any) -> PerTransactionConnection:
    """As :func:`psycopg.connect`; each transaction has these ``settings``, :data:`USER` and :data:`ROLES` among them.

    Nothing is prepared on the server, because the next transaction may be on another one.
    """
    keywords |= {"prepare_threshold": None, "cursor_factory": PerTransactionCursor}
    connection = PerTransactionConnection.connect(*args, **keywords)
    _set_time_zone(connection, settings["TimeZone"])
    connection.server_cursor_factory = PerTransactionServerCursor
    connection._own = (settings[USER], settings[ROLES])
    names = [name for name in settings if name not in (USER, ROLES)]
    calls = [
        *(sql.SQL("set_config({}, {}, true)").format(name, settings[name]) for name in names),
        *(sql.SQL("set_config({}, {}, true)").format(name, sql.Placeholder()) for name in (USER, ROLES)),
    ]
    connection._prelude = sql.SQL("SELECT {}").format(sql.SQL(", ").join(calls)).as_bytes(connection)
    return connection


def _set_time_zone(connection: PerTransactionConnection, name: str) -> None:
    """The driver gives moments in the zone that the server told of last, and that may be after the transaction. This is
    the one setting of a session that poolers keep for each client."""
    connection.autocommit = True
    psycopg.Cursor(connection).execute(sql.SQL("SET TIME ZONE {}").format(name))
    connection.autocommit = False


class PerTransactionCursor(psycopg.Cursor[Any]):
    """Sends the settings with the first statement of each transaction, and with every statement that is one by itself."""

    _conn: PerTransactionConnection

    def execute(
        self, query: Any, params: Any = None, *, prepare: bool | None = None, binary: bool | None = None
    ) -> Self:
        connection = self._conn
        if not connection.autocommit and connection.info.transaction_status != TransactionStatus.IDLE:
            return super().execute(query, params, prepare=prepare, binary=binary)
        # One pipeline up to its end is one transaction for the server, also where nobody says BEGIN: it is undone as a
        # whole when a statement fails, and a statement is skipped where the one before it failed.
        try:
            with connection.pipeline():
                connection.introduce_itself()
                super().execute(query, params, prepare=prepare, binary=binary)
        finally:
            # A server that went away in the middle leaves a pipeline that nobody gets out of.
            if connection.pgconn.pipeline_status != PipelineStatus.OFF:
                connection.close()
        return self

    def executemany(self, query: Any, params_seq: Any, *, returning: bool = False) -> None:
        # It opens a pipeline of its own, which would end the transaction of the settings.
        self._conn.begin()
        super().executemany(query, params_seq, returning=returning)

    @contextmanager
    def copy(self, statement: Any, params: Any = None, *, writer: Writer | None = None) -> Iterator[psycopg.Copy]:
        self._conn.begin()
        with super().copy(statement, params, writer=writer) as copy:
            yield copy

    def stream(self, *_args: Any, **_keywords: Any) -> NoReturn:
        raise psycopg.NotSupportedError("Use a cursor of the server's instead.")


class PerTransactionServerCursor(psycopg.ServerCursor[Any]):
    """A cursor of the server's, which lives in a transaction anyway."""

    _conn: PerTransactionConnection

    def execute(self, query: Any, params: Any = None, *, binary: bool | None = None, **options: Any) -> Self:
        self._conn.begin()
        return super().execute(query, params, binary=binary, **options)


def driver_of(connection: Any) -> PerTransactionConnection | None:
    """The driver's connection below one of SQLAlchemy's, if it is one of these."""
    driver = connection.connection.driver_connection
    return driver if isinstance(driver, PerTransactionConnection) else None
