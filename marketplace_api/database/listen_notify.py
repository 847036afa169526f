"""Messages from process to process through PostgreSQL's LISTEN and NOTIFY. They are lost while nobody listens."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import suppress
from typing import Any

import psycopg

from marketplace_api.database.session_settings import application_settings, set_up

MOST_BYTES = 7_900
"""How long a message may be: PostgreSQL takes less than 8,000 bytes."""

POLL_SECONDS = 1.0
"""How long :meth:`PostgresTransport.listen` waits before it gives ``None``."""


class PostgresTransport:
    """One channel, on two connections of its own that begin no transaction."""

    errors = (psycopg.Error, OSError)

    def __init__(self, url: str, channel: str) -> None:
        """``url`` is one of libpq's, past any pooler of transactions; ``channel`` is a name that needs no quotes in SQL."""
        self._url = url
        self._channel = channel
        self._lock = threading.Lock()
        self._speaking: psycopg.Connection[Any] | None = None

    def _connect(self) -> psycopg.Connection[Any]:
        connection = psycopg.connect(
            self._url, autocommit=True, connect_timeout=5, application_name="marketplace realtime"
        )
        set_up(connection, application_settings(system=False))
        return connection

    def publish(self, text: bytes) -> None:
        """Send a message to all who listen, this process among them."""
        with self._lock:
            held, self._speaking = self._speaking, None
            if held is not None:
                with suppress(psycopg.OperationalError):  # lost since it spoke last
                    self._speak(held, text)
                    return
                held.close()
            self._speak(self._connect(), text)

    def _speak(self, connection: psycopg.Connection[Any], text: bytes) -> None:
        connection.execute("SELECT pg_notify(%s, %s)", [self._channel, text.decode()])
        self._speaking = connection

    def listen(self) -> Generator[bytes | None, None, None]:
        """What is said, and ``None`` whenever nothing was for a while."""
        with self._connect() as connection:
            connection.execute(f"LISTEN {self._channel}".encode())
            while True:
                for notice in connection.notifies(timeout=POLL_SECONDS):
                    yield notice.payload.encode()
                yield None

    def close(self) -> None:
        """Nothing is said after it."""
        with self._lock:
            if self._speaking is not None:
                self._speaking.close()
