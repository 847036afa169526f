"""The way in by server-sent events (WHATWG HTML, section 9.2): one GET whose answer does not end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

import orjson

from marketplace_api.config.settings import Settings
from marketplace_api.domain.kernel.tokens import AccessClaims
from marketplace_api.errors import Invalid, Unauthenticated
from marketplace_api.realtime.authorization import Joined
from marketplace_api.realtime.clients import Client, Lost
from marketplace_api.realtime.handshake import Handshake, Scope, address_of, header, number_of, words_of
from marketplace_api.realtime.hub import Hub

TAKE_SECONDS = 20.0
RETRY_MILLISECONDS = 2_000
PARAMETERS = frozenset({"topics", "last_id", "ticket"})
MOST_PARAMETERS = 10

Send = Callable[[Any], Awaitable[None]]
Receive = Callable[[], Awaitable[Any]]


class StreamClient(Client):
    """A connection by server-sent events."""

    transport = "stream"

    def __init__(self, send: Send, *about: Any) -> None:
        super().__init__(*about)
        self._send = send
        self._lock = asyncio.Lock()
        self.finished = asyncio.Event()

    async def transmit(self, name: str, body: dict[str, Any], *, position: int | None) -> None:
        # A position is a field without data: the browser notes it, and no script hears of it.
        place = b"" if position is None else b"id: %d\n" % position
        told = b"" if name == "position" else b"event: %s\ndata: %s\n" % (name.encode(), orjson.dumps(body))
        await self.write(b":\n" + place + told + b"\n")

    async def write(self, text: bytes) -> None:
        """Send a piece of the answer; raises :class:`Lost` where nobody takes it."""
        if self.finished.is_set():
            raise Lost
        try:
            async with self._lock:
                message = {"type": "http.response.body", "body": text, "more_body": True}
                await asyncio.wait_for(self._send(message), TAKE_SECONDS)
        except (TimeoutError, OSError):
            raise Lost from None

    async def close(self, *, come_back: bool) -> None:
        self.finished.set()


class SseEndpoint:
    """Answers ``GET /api/stream``."""

    def __init__(self, hub: Hub, settings: Settings) -> None:
        self._hub, self._settings = hub, settings

    async def serve(self, scope: Scope, receive: Receive, send: Send, headers: list[tuple[bytes, bytes]]) -> None:
        """The stream, with ``headers`` as well, until either side ends it; raises what refuses it before it begins."""
        if self._hub.is_draining:
            await _send_away(send, headers)
            return
        opening = await self._opening(scope)
        actor, joined, cursor = await opening.admitted(self._hub)
        about = [
            (b"content-type", b"text/event-stream; charset=utf-8"),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),
            *headers,
        ]
        await send({"type": "http.response.start", "status": 200, "headers": about})
        client = StreamClient(send, self._hub, opening.claims, actor, cursor)
        self._hub.add(client, [each for each in joined if isinstance(each, Joined)])
        leaving = asyncio.create_task(_left(receive))
        closing = asyncio.create_task(client.finished.wait())
        try:
            await client.write(b"retry: %d\n\n" % RETRY_MILLISECONDS)
            client.start(opening.ready(client, joined))
            await asyncio.wait({leaving, closing}, return_when=asyncio.FIRST_COMPLETED)
        except Lost:
            return
        finally:
            leaving.cancel()
            closing.cancel()
            client.finished.set()
            client.gone()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _opening(self, scope: Scope) -> Handshake:
        try:
            given = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=MOST_PARAMETERS)
        except ValueError as error:
            raise Invalid(f"Use {MOST_PARAMETERS} parameters at most.") from error
        strange = sorted(set(given) - PARAMETERS)
        if strange or any(len(values) > 1 for values in given.values()):
            raise Invalid(f"Use each of {', '.join(sorted(PARAMETERS))} once, and nothing else.")
        wishes = {name: values[0] for name, values in given.items()}
        last_id = number_of(header(scope, b"last-event-id") or wishes.get("last_id"))
        topics = words_of(wishes.get("topics"))
        claims = await self._claims(header(scope, b"authorization"), wishes.get("ticket", ""))
        self._hub.require_room(claims.user_id)
        return Handshake(claims, address_of(scope, self._settings), topics, last_id)

    async def _claims(self, authorization: str, ticket: str) -> AccessClaims:
        if ticket:
            return await self._hub.ask(self._hub.channels.redeemed, ticket[:200])
        scheme, _, token = authorization.partition(" ")
        token = token.strip(" \t")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("Send `Authorization: Bearer <token>`, or a ticket.")
        return self._hub.channels.verified(token)


async def _send_away(send: Send, headers: list[tuple[bytes, bytes]]) -> None:
    """An answer that ends at once, on a connection that was open already: any other status, and browsers gave up."""
    about = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"connection", b"close"), *headers]
    await send({"type": "http.response.start", "status": 200, "headers": about})
    await send({"type": "http.response.body", "body": b"retry: %d\n\n" % RETRY_MILLISECONDS})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
