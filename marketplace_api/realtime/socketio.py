"""The way in by socket.io: who connects, and what they may ask for. WebSockets only, so that no process has to be the
same twice."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import socketio
from socketio.exceptions import ConnectionRefusedError as Refused

from marketplace_api.config.settings import Settings
from marketplace_api.domain.kernel.tokens import AccessClaims
from marketplace_api.errors import Forbidden, Invalid, NotFound, Unauthenticated
from marketplace_api.realtime.authorization import Joined
from marketplace_api.realtime.clients import Client, Lost, problem_of
from marketplace_api.realtime.handshake import Handshake, address_of, header, number_of, words_of
from marketplace_api.realtime.hub import Hub
from marketplace_api.realtime.protocol_guard import GUARD, MOST_BYTES

MOST_QUEUED = 32
TAKE_SECONDS = 20.0
"""A client that takes nothing for so long is let go, and comes back."""
LOOK_SECONDS = 0.05
NAMESPACE = "/"
TAKEN = ("subscribe", "unsubscribe", "typing", "authenticate")
"""The events that clients may send."""
OPENING = frozenset({"token", "topics", "last_id"})
"""What they may say when they connect; a slip in ``last_id`` would lose what they missed."""
LONGEST_SHOWN = 40


class _Json:
    """What python-socketio asks of a ``json`` module."""

    @staticmethod
    def dumps(value: Any, **_options: Any) -> str:
        return orjson.dumps(value).decode()

    loads = staticmethod(orjson.loads)


class SocketClient(Client):
    """A connection by socket.io."""

    transport = "socket"

    def __init__(self, server: socketio.AsyncServer, sid: str, *about: Any) -> None:
        super().__init__(*about)
        self._server, self._sid = server, sid
        self._eio_sid = server.manager.eio_sid_from_sid(sid, NAMESPACE)

    async def transmit(self, name: str, body: dict[str, Any], *, position: int | None) -> None:
        if self.is_closed:
            raise Lost
        await self._server.emit(name, body, to=self._sid)
        waited = 0.0
        while (socket := self._server.eio.sockets.get(self._eio_sid)) is not None:
            if socket.queue.qsize() < MOST_QUEUED:
                return
            if waited > TAKE_SECONDS:
                break
            await asyncio.sleep(LOOK_SECONDS)
            waited += LOOK_SECONDS
        raise Lost

    async def close(self, *, come_back: bool) -> None:
        if come_back:
            # Clients connect again when the transport is gone, not when they are told to go.
            await self._server.eio.disconnect(self._eio_sid)
        else:
            await self._server.disconnect(self._sid)


class SocketIoEndpoint:
    """The handlers of socket.io's events. ``app`` is the ASGI application."""

    def __init__(self, hub: Hub, settings: Settings, is_ours: Callable[[str, str], bool]) -> None:
        self._hub, self._settings = hub, settings
        self.server = socketio.AsyncServer(
            async_mode="asgi",
            transports=["websocket"],
            json=_Json,
            max_http_buffer_size=MOST_BYTES,
            logger=logging.getLogger("socketio"),
            engineio_logger=logging.getLogger("engineio"),
            cors_credentials=False,
            cors_allowed_origins=lambda origin, environ: is_ours(origin, environ.get("HTTP_HOST", "")),
        )
        self.app = socketio.ASGIApp(self.server, other_asgi_app=None)
        self._clients: dict[str, SocketClient] = {}
        self.server.on("connect", self._connect)
        self.server.on("disconnect", self._disconnect)
        handlers = (self._subscribe, self._unsubscribe, self._typing, self._authenticate)
        for name, handler in zip(TAKEN, handlers, strict=True):
            self.server.on(name, self._answering(handler))
        self.server.on("*", self._unknown)

    async def _connect(self, sid: str, environ: dict[str, Any], auth: Any = None) -> None:
        scope = environ["asgi.scope"]
        given = auth if isinstance(auth, dict) else {}
        try:
            _require_known(given)
            claims = self._claims(given.get("token") or _bearer(header(scope, b"authorization")))
            self._hub.require_room(claims.user_id)
            opening = Handshake(
                claims,
                address_of(scope, self._settings),
                words_of(given.get("topics")),
                number_of(given.get("last_id")),
            )
            actor, joined, cursor = await opening.admitted(self._hub)
        except Exception as error:
            refusal = await self._hub.what_failed(error)
            raise Refused(refusal.detail, problem_of(refusal)) from None
        scope[GUARD].admit()
        client = self._clients[sid] = SocketClient(self.server, sid, self._hub, claims, actor, cursor)
        self._hub.add(client, [each for each in joined if isinstance(each, Joined)])
        self._hub.spawn(self._open(sid, client, opening.ready(client, joined)))

    async def _open(self, sid: str, client: SocketClient, ready: dict[str, Any]) -> None:
        """What is sent before the client was told that it is connected does not reach it."""
        while not client.is_closed and not self.server.manager.is_connected(sid, NAMESPACE):
            await asyncio.sleep(0)
        client.start(ready)

    async def _disconnect(self, sid: str, _reason: str = "") -> None:
        client = self._clients.pop(sid, None)
        if client is not None:
            client.gone()

    def _claims(self, token: Any) -> AccessClaims:
        if not isinstance(token, str) or not token:
            raise Unauthenticated("Send the access token as `auth: {token}`, or as `Authorization: Bearer`.")
        return self._hub.channels.verified(token)

    async def _unknown(self, name: str, sid: str, *_arguments: Any) -> dict[str, Any]:
        async def refuse(_client: SocketClient, _given: Any) -> dict[str, Any]:
            raise NotFound(f"Nobody here listens to {name[:LONGEST_SHOWN]!r}; clients send {', '.join(TAKEN)}.")

        answer: dict[str, Any] = await self._answering(refuse)(sid)
        return answer

    def _answering(self, handler: Callable[[SocketClient, Any], Awaitable[dict[str, Any]]]) -> Any:
        """A handler whose result, or the problem document of its refusal, is the acknowledgement."""

        async def handle(sid: str, *arguments: Any) -> dict[str, Any]:
            client = self._clients.get(sid)
            if client is None:
                return {"ok": False, "error": problem_of(Unauthenticated("Connect first."))}
            try:
                client.admit_request()
                return await handler(client, arguments[0] if arguments else None)
            except Exception as error:
                refusal = await self._hub.what_failed(error)
                if refusal.code in ("session_ended", "token_expired"):
                    client.wake(recheck=True)
                return {"ok": False, "error": problem_of(refusal)}

        return handle

    async def _subscribe(self, client: SocketClient, given: Any) -> dict[str, Any]:
        names = words_of(given.get("topic") if isinstance(given, dict) else given)
        if len(names) != 1:
            raise Invalid("Name one topic, such as conversation:42.")
        return (await self._hub.join(client, names))[0]

    async def _unsubscribe(self, client: SocketClient, given: Any) -> dict[str, Any]:
        names = words_of(given.get("topic") if isinstance(given, dict) else given)
        if client.own_topic in names:
            raise Invalid("One's own account is always followed.")
        for name in names:
            self._hub.leave(client, name)
        return {"ok": True}

    async def _typing(self, client: SocketClient, given: Any) -> dict[str, Any]:
        number = given.get("conversation_id") if isinstance(given, dict) else None
        if type(number) is not int or number < 1:
            raise Invalid("Say in which conversation: `{conversation_id, typing}`.")
        await self._hub.typing(client, number, is_typing=given.get("typing") is not False)
        return {"ok": True}

    async def _authenticate(self, client: SocketClient, given: Any) -> dict[str, Any]:
        claims = self._claims(given.get("token") if isinstance(given, dict) else given)
        if claims.user_id != client.user_id:
            raise Forbidden("This token is another account's; connect anew for that.")
        seen = await self._hub.ask(self._hub.channels.look, claims, ())
        client.renew(claims, seen.actor)
        return {"ok": True, "expires_at": claims.expires_at.isoformat()}


def _require_known(given: dict[str, Any]) -> None:
    strange = sorted(set(given) - OPENING)
    if strange:
        raise Invalid(f"There is no {strange[0]!r:.60}: `auth` takes {', '.join(sorted(OPENING))}.")


def _bearer(value: str) -> str:
    scheme, _, token = value.partition(" ")
    return token.strip(" \t") if scheme.lower() == "bearer" else ""
