"""What stands between us and PostgreSQL: nothing, or a pooler such as PgBouncer, and what that keeps for a client."""

from __future__ import annotations

import selectors
import time
from enum import StrEnum

import psycopg

ROUNDS = 10
WAIT_SECONDS = 3.0
"""How long a pooler may take to give a second client a server, while the first one does nothing."""


class Pooler(StrEnum):
    """What a client keeps between two transactions: its own server (``none``), one that is its own until it leaves
    (``session``), or nothing (``transaction``)."""

    NONE = "none"
    SESSION = "session"
    TRANSACTION = "transaction"


def find_pooler(first: psycopg.Connection[tuple[object, ...]], url: str) -> Pooler:
    """What is behind the autocommit connection ``first``, which was made by libpq's ``url``; raises psycopg.Error.

    A pooler cannot give a client the process id of a server that it does not have yet, so it makes one up. To tell which
    kind it is, two clients ask in turns: one that pools sessions never lets the second have the first one's server.
    """
    own = _ask(first, b"SELECT pg_backend_pid()")
    if own == str(first.info.backend_pid):
        return Pooler.NONE
    with psycopg.connect(url, autocommit=True, connect_timeout=5, application_name="marketplace boot") as second:
        for _ in range(ROUNDS):
            other = _ask(second, b"BEGIN; SELECT pg_backend_pid()")
            if other is None:  # there is no other server, and the first client has got it
                return Pooler.SESSION
            # The second client holds its server now, so the first one gets another, or waits.
            if other == own or _ask(first, b"SELECT pg_backend_pid()") != own:
                return Pooler.TRANSACTION
            _ask(second, b"ROLLBACK")
    return Pooler.SESSION


def _ask(connection: psycopg.Connection[tuple[object, ...]], statements: bytes) -> str | None:
    """The last answer's only value; ``None`` where there is none in time, and the connection is closed."""
    pgconn, answer = connection.pgconn, ""
    pgconn.send_query(statements)
    deadline = time.monotonic() + WAIT_SECONDS
    with selectors.DefaultSelector() as selector:
        selector.register(pgconn.socket, selectors.EVENT_READ)
        while True:
            while not pgconn.is_busy():
                result = pgconn.get_result()
                if result is None:
                    return answer
                if result.status == psycopg.pq.ExecStatus.FATAL_ERROR:
                    raise psycopg.errors.error_from_result(result)
                if result.status == psycopg.pq.ExecStatus.TUPLES_OK:
                    answer = (result.get_value(0, 0) or b"").decode()
            if not selector.select(max(0.0, deadline - time.monotonic())):
                connection.close()
                return None
            pgconn.consume_input()
