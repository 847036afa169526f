"""The ASGI application of the realtime process: the two ways in, and what operators ask."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from hmac import compare_digest
from pathlib import Path
from typing import Any

import orjson
import structlog
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from marketplace_api.app import configure
from marketplace_api.config.settings import Settings
from marketplace_api.database.engines import Databases
from marketplace_api.domain.operations.health import OK, database_state, installation
from marketplace_api.errors import DomainError, Forbidden, NotFound, Unauthenticated
from marketplace_api.hal.problems import PROBLEM, problem
from marketplace_api.realtime import metrics
from marketplace_api.realtime.authorization import Authorization
from marketplace_api.realtime.follower import Follower, Following
from marketplace_api.realtime.handshake import Scope, header, is_allowed_origin
from marketplace_api.realtime.hub import Hub
from marketplace_api.realtime.protocol_guard import GUARD, ProtocolGuard
from marketplace_api.realtime.pubsub import PubSub, Signal, make_transport
from marketplace_api.realtime.replay_buffer import ReplayBuffer
from marketplace_api.realtime.socketio import SocketIoEndpoint
from marketplace_api.realtime.sse import Receive, Send, SseEndpoint
from marketplace_api.resources.root import LOOPBACK
from marketplace_api.version import VERSION

STREAM = frozenset({"/api/stream", "/api/v1/stream"})
NO_STORE = (b"cache-control", b"no-store")
ALWAYS = [(b"x-content-type-options", b"nosniff"), (b"vary", b"Authorization, Origin")]

log = structlog.get_logger(__name__)


class Realtime:
    """The application. It is to be started in a running event loop, before anybody is let in."""

    def __init__(self, settings: Settings, databases: Databases) -> None:
        # Those who come here see what was committed a moment ago, which a replica may not have yet.
        api = configure(replace(settings, database_read_url=""), databases).make_wsgi_app()
        self._settings, self._databases = settings, databases
        self._channels = Authorization(api.registry)

    async def start(self) -> None:
        """Read the end of the log, and follow it from there; returns when all of it is known."""
        loop = asyncio.get_running_loop()
        self._loop = loop
        horizon = await asyncio.to_thread(self._channels.horizon)
        most = self._settings.realtime_replay
        recent = ReplayBuffer(max(horizon - most, await asyncio.to_thread(self._channels.dropped)), most)
        self.signals = PubSub(make_transport(self._settings, self._databases), self._heard)
        self.hub = Hub(self._channels, recent, self.signals.publish)
        await self._read(recent, horizon)
        self._sockets = SocketIoEndpoint(self.hub, self._settings, self._is_ours)
        self._streams = SseEndpoint(self.hub, self._settings)
        follow = Following(self.hub.take, self.hub.restart, self._channels.misfit)
        self.follower = Follower(self._databases, loop, recent.head, follow)
        self.follower.start()
        self.signals.start()
        self._beating = asyncio.create_task(self.hub.beat())
        log.info("realtime.started", head=recent.head, behind=recent.head - recent.floor)

    async def _read(self, recent: ReplayBuffer, horizon: int) -> None:
        while recent.head < horizon:
            entries, last = await asyncio.to_thread(self._channels.part_of_log, recent.head, horizon)
            recent.add(entries, last)

    async def stop(self) -> None:
        """Let everybody go, so that they come back elsewhere, and end."""
        self._beating.cancel()
        await self.hub.drain()
        await asyncio.to_thread(self.follower.stop)
        await asyncio.to_thread(self.hub.stop)
        await asyncio.to_thread(self.signals.stop)
        log.info("realtime.stopped")

    def _heard(self, signal: Signal | None) -> None:
        self._loop.call_soon_threadsafe(self.hub.hear, signal)

    def _is_ours(self, origin: str, host: str) -> bool:
        return is_allowed_origin(origin, host, self._settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] == "lifespan":
            return
        if path.startswith("/socket.io/") and scope["type"] == "websocket":
            guard = ProtocolGuard(receive)
            await self._sockets.app({**scope, GUARD: guard}, guard, send)
        elif path.startswith("/socket.io/") and scope["type"] == "http":
            await self._sockets.app(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send, path)
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _answer(self, scope: Scope, receive: Receive, send: Send, path: str) -> None:
        headers = [*ALWAYS, *self._cors(scope)]
        begun = False

        async def begin(message: Any) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            if path in STREAM:
                await self._stream(scope, receive, begin, headers)
            elif path == "/metrics":
                self._require_monitor(scope)
                metrics.DEGRADED.labels("signals").set(not self.signals.is_open)
                text = await asyncio.to_thread(_exposition)
                await _respond(send, 200, CONTENT_TYPE_LATEST.encode(), text, [*headers, NO_STORE])
            else:
                status, body = await self._about(scope["method"], path)
                await _respond(send, status, b"application/json", orjson.dumps(body), [*headers, NO_STORE])
        except Exception as error:
            if begun:
                raise
            await _refuse(send, await self.hub.what_failed(error), headers)

    async def _stream(self, scope: Scope, receive: Receive, send: Send, headers: list[tuple[bytes, bytes]]) -> None:
        if scope["method"] == "OPTIONS":
            await _respond(send, 204, b"", b"", headers)
            return
        if scope["method"] != "GET":
            raise DomainError("GET, OPTIONS do.", code="method_not_allowed")
        origin = header(scope, b"origin")
        if not self._is_ours(origin, header(scope, b"host")):
            raise Forbidden(f"Pages of {origin[:100]} may not connect; http.cors_origins lists those that may.")
        await self._streams.serve(scope, receive, send, headers)

    async def _about(self, method: str, path: str) -> tuple[int, dict[str, Any]]:
        if method not in ("GET", "HEAD"):
            raise DomainError("Only GET works here.", code="method_not_allowed")
        if path == "/healthz":
            return 200, {"status": "alive"}
        if path == "/version":
            return 200, {"version": VERSION}
        if path != "/readyz":
            raise NotFound("There is nothing at this address.")
        return await self._readiness()

    async def _readiness(self) -> tuple[int, dict[str, Any]]:
        """The database, its schema and the process itself decide; signals, about who types and who is there, do not."""
        required = await asyncio.to_thread(database_state, self._databases)
        required["log"] = OK if self.follower.is_following else "not followed"
        required["process"] = "ending" if self.hub.is_draining else OK
        signals = OK if self.signals.is_open else "unavailable"
        down, weak = any(state != OK for state in required.values()), ["signals"] if signals != OK else []
        ours = None if down else await asyncio.to_thread(installation, self._databases, self._settings.secret)
        status = "unavailable" if down else "degraded" if weak else "ready"
        told = {"status": status, "degraded": weak, "installation": ours, "checks": {**required, "signals": signals}}
        return (503 if down else 200), told

    def _cors(self, scope: Scope) -> list[tuple[bytes, bytes]]:
        origin = header(scope, b"origin")
        if origin not in self._settings.cors_origins:
            return []
        return [
            (b"access-control-allow-origin", origin.encode("latin-1")),
            (b"access-control-allow-headers", b"Authorization, Last-Event-ID"),
            (b"access-control-max-age", b"600"),
        ]

    def _require_monitor(self, scope: Scope) -> None:
        token = self._settings.metrics_token
        if token:
            given = header(scope, b"authorization").removeprefix("Bearer ").encode("latin-1")
            if not compare_digest(given, token.encode()):
                raise Unauthenticated("Send the monitor's token.")
        elif self._settings.production or (scope.get("client") or ("",))[0] not in LOOPBACK:
            raise Forbidden("Metrics are for the monitor: set METRICS_TOKEN.")


async def _refuse(send: Send, error: DomainError, headers: list[tuple[bytes, bytes]]) -> None:
    status, body = problem(error, None)
    more = [NO_STORE]
    if status == 401:
        more.append((b"www-authenticate", b"Bearer"))
    if error.retry_after is not None:
        more.append((b"retry-after", str(error.retry_after).encode()))
    await _respond(send, status, PROBLEM.encode(), orjson.dumps(body), [*headers, *more])


def _exposition() -> bytes:
    pages = int(Path("/proc/self/statm").read_text().split()[1]) if Path("/proc/self/statm").exists() else 0
    metrics.MEMORY.set(pages * metrics.PAGE_BYTES)
    return generate_latest(metrics.REGISTRY)


async def _respond(send: Send, status: int, kind: bytes, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    about = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": about})
    await send({"type": "http.response.body", "body": body})
