"""What realtime processes tell each other and nobody keeps: who types, who is there.

It goes through PostgreSQL's NOTIFY, or through Redis or Valkey where there is one. Either transport connects anew by
itself when it was interrupted. What was said meanwhile is lost, so nothing that matters is sent like this.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing, suppress
from typing import Any, Protocol

import orjson
import structlog
from valkey import Valkey
from valkey.exceptions import ConnectionError, ValkeyError

from marketplace_api.config.settings import Settings
from marketplace_api.database.engines import Databases, libpq_url
from marketplace_api.database.listen_notify import MOST_BYTES, POLL_SECONDS, PostgresTransport
from marketplace_api.gateways.rate_limiter import with_scheme

CHANNEL = "marketplace_realtime"
LONGEST_PAUSE_SECONDS = 5.0

log = structlog.get_logger(__name__)

Signal = Mapping[str, Any]
Hear = Callable[[Signal], None]


class Transport(Protocol):
    """What carries messages to all processes, this one among them."""

    @property
    def errors(self) -> tuple[type[Exception], ...]: ...

    def publish(self, text: bytes) -> None: ...

    def listen(self) -> Generator[bytes | None, None, None]:
        """What is said, and ``None`` at least every other second. Raises one of ``errors`` when it is interrupted."""

    def close(self) -> None:
        """Nothing is said after it."""


class RedisTransport:
    """Publish and subscribe of Redis or Valkey."""

    errors = (ValkeyError, OSError)

    def __init__(self, url: str) -> None:
        self._store: Any = Valkey.from_url(with_scheme(url), socket_timeout=5, socket_connect_timeout=2)

    def publish(self, text: bytes) -> None:
        try:
            self._store.publish(CHANNEL, text)
        except ConnectionError:  # lost since it spoke last
            self._store.publish(CHANNEL, text)

    def listen(self) -> Generator[bytes | None, None, None]:
        with closing(self._store.pubsub()) as heard:
            heard.subscribe(CHANNEL)
            subscribed = 0
            while True:
                message = heard.get_message(timeout=POLL_SECONDS) or {}
                subscribed += message.get("type") == "subscribe"
                if subscribed > 1:
                    raise ConnectionError("The client has connected anew, without a word of what it missed.")
                yield message["data"] if message.get("type") == "message" else None

    def close(self) -> None:
        self._store.close()


class PubSub:
    """Says things, and has a thread that hears them: ``hear`` is called there with whatever any process said.

    ``None`` is heard when the transport is open again after it was not, and when it opens first.
    """

    def __init__(self, transport: Transport, hear: Callable[[Signal | None], None]) -> None:
        self._transport, self._hear = transport, hear
        self._stopping = threading.Event()
        self.is_open = False
        self._thread = threading.Thread(target=self._run, name="signals", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(2 * POLL_SECONDS)
        self._transport.close()

    def publish(self, signal: Signal) -> None:
        """Tell all processes, if they can be reached. Blocks for a moment; takes at most :data:`MOST_BYTES`."""
        text = orjson.dumps(signal)
        assert len(text) <= MOST_BYTES
        try:
            self._transport.publish(text)
        except self._transport.errors as error:
            log.warning("signals.unsaid", reason=type(error).__name__)

    def _run(self) -> None:
        pause = 0.1
        while not self._stopping.is_set():
            try:
                with closing(self._transport.listen()) as said:
                    for text in said:
                        pause = 0.1
                        if self._stopping.is_set():
                            return
                        self._take(text)
            except self._transport.errors as error:
                if self.is_open:
                    log.warning("signals.lost", reason=type(error).__name__)
                self.is_open = False
                time.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    def _take(self, text: bytes | None) -> None:
        if not self.is_open:
            self.is_open = True
            self._hear(None)
        if text is not None:
            with suppress(orjson.JSONDecodeError):
                self._hear(orjson.loads(text))


def make_transport(settings: Settings, databases: Databases) -> Transport:
    """Redis where it is configured, else PostgreSQL."""
    if settings.redis_url:
        return RedisTransport(settings.redis_url)
    return PostgresTransport(libpq_url(databases.direct.url), CHANNEL)
