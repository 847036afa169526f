"""What a connection of socket.io may send, looked at before the library sees it: the frames of its own clients, and no more.

The library trusts who connects. What it cannot read it logs as an error of ours, one piece at a time for as long as it
comes; parts of a message that never ends it keeps in memory; and who connects but never says who they are may stay.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import orjson
import structlog

from marketplace_api.realtime import metrics

MOST_BYTES = 16 * 1024
"""What a client sends at once."""
GREET_SECONDS = 20.0
"""Who has shown no token by then goes."""
FRAMES, FRAMES_SECONDS = 200, 10.0
"""Who sends more frames in so many seconds goes, whatever they say; requests are refused long before."""
GUARD = "marketplace.frames"
"""Where the scope of a connection has its guard."""

# Engine.IO 4: close, ping, pong, no operation. Socket.IO 5 within its messages: connect, disconnect, event; none with
# binary parts, and no acknowledgement, for we ask for none.
_PLAIN = re.compile(r"1|2(probe)?|3(probe)?|6")
_MESSAGE = re.compile(r"4([012])(?:/[\w-]{0,50},)?(\d{0,19})(.*)", re.ASCII | re.DOTALL)
_CONNECT, _DISCONNECT, _EVENT = "0", "1", "2"
# The library runs handlers by the names that clients send: these it calls by itself.
_RESERVED = frozenset({"connect", "connect_error", "disconnect", "*"})

log = structlog.get_logger(__name__)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]


class ProtocolGuard:
    """Stands for the ``receive`` of one connection: it ends with the first frame that no client of ours sends."""

    def __init__(self, receive: Receive, clock: Callable[[], float] = time.monotonic) -> None:
        self._receive, self._clock = receive, clock
        self._admitted = False
        self._since = clock()
        self._moments: list[float] = []

    def admit(self) -> None:
        """They have shown who they are."""
        self._admitted = True

    async def __call__(self) -> Message:
        """The next message of ASGI; that the client has gone, where it has to."""
        left = None if self._admitted else max(0.0, self._since + GREET_SECONDS - self._clock())
        try:
            message = await asyncio.wait_for(self._receive(), left)
        except TimeoutError:
            # Admitted while this waited: there is no hurry any more.
            return await self() if self._admitted else _ended("silent")
        if message["type"] == "websocket.receive" and not self._is_fine(message):
            return _ended("bad_frame")
        return message

    def _is_fine(self, message: Message) -> bool:
        now = self._clock()
        self._moments = [moment for moment in self._moments if now - moment < FRAMES_SECONDS]
        self._moments.append(now)
        text = message.get("text")
        if text is None or len(text) > MOST_BYTES or len(self._moments) > FRAMES:
            return False
        if _PLAIN.fullmatch(text):
            return True
        found = _MESSAGE.fullmatch(text)
        if found is None:
            return False
        kind, number, said = found.groups()
        if kind == _DISCONNECT:
            self._admitted, self._since = False, now
        return _is_well_formed(kind, number, said)


def _is_well_formed(kind: str, number: str, said: str) -> bool:
    if kind == _DISCONNECT:
        return not number and not said
    if kind == _CONNECT and not said:
        return not number
    try:
        value = orjson.loads(said)
    except orjson.JSONDecodeError:
        return False
    if kind == _CONNECT:
        return not number and isinstance(value, dict)
    return isinstance(value, list) and bool(value) and isinstance(value[0], str) and value[0] not in _RESERVED


def _ended(reason: str) -> Message:
    metrics.ENDED.labels(reason).inc()
    log.info("realtime.frames_ended", reason=reason)
    return {"type": "websocket.disconnect", "code": 1008}
