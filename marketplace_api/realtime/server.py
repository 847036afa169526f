"""Serves the realtime application by uvicorn, until it is told to end."""

from __future__ import annotations

import asyncio
import gc
from types import FrameType
from typing import Any

import structlog
import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from marketplace_api.config.settings import Settings
from marketplace_api.database.engines import Databases
from marketplace_api.realtime.app import Realtime

STOP_SECONDS = 15
BACKLOG = 2048

log = structlog.get_logger(__name__)


class WebSocket(WebSocketsSansIOProtocol):
    """Who does not take the answers to their pings gets none: the answers would wait in memory, as many as were asked."""

    def handle_ping(self) -> None:
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()  # the answer, which nobody is going to read


class _Server(uvicorn.Server):
    """On SIGTERM or SIGINT it closes its doors, and everybody inside is told to go.

    In this order: who was let go comes back at once, and a client that is answered 503 gives up, while one that finds
    nobody tries again.
    """

    def __init__(self, config: uvicorn.Config, app: Realtime) -> None:
        super().__init__(config)
        self._app = app
        self._ending: asyncio.Task[None] | None = None

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        log.info("realtime.listening", host=self.config.host, port=self.config.port)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        asyncio.get_event_loop().call_soon_threadsafe(self._begin_to_end)

    def _begin_to_end(self) -> None:
        if self._ending is None:
            self._ending = asyncio.get_running_loop().create_task(self._end())

    async def _end(self) -> None:
        for listening in self.servers:
            listening.close()
        try:
            await self._app.stop()
        finally:
            self.should_exit = True


def run(settings: Settings, databases: Databases, *, host: str, port: int) -> None:
    """Serve on ``host`` and ``port`` until SIGTERM or SIGINT. Runs in the main thread."""
    app = Realtime(settings, databases)
    asyncio.run(_serve(app, host, port))


async def _serve(app: Realtime, host: str, port: int) -> None:
    await app.start()
    # What is there from the beginning stays: a full collection, during which nothing is pushed, need not look at it.
    gc.collect()
    gc.freeze()
    options: dict[str, Any] = {
        "host": host,
        "port": port,
        "lifespan": "off",
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "ws": WebSocket,
        "ws_max_size": 64 * 1024,
        "backlog": BACKLOG,
        "timeout_graceful_shutdown": STOP_SECONDS,
        "proxy_headers": False,
        "ws_per_message_deflate": False,
    }
    server = _Server(uvicorn.Config(app, **options), app)
    await server.serve()
