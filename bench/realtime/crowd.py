"""Clients of socket.io, thousands in one process: ``python -m bench.realtime.crowd URL``.

It obeys orders on standard input, a line of JSON each, and answers each with one: ``connect`` clients, hand out what has
been ``received``, ``close``. So that it is not what is measured it speaks the frames of Engine.IO 4 and Socket.IO 5 by
itself, and reads of a frame only what names it.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection, connect

AT_ONCE = 100
"""Clients that are on their way in at the same time."""
PATIENCE_SECONDS = 120
COUNTED = ("message.created", "notification.created", "unread.changed")

Receipt = tuple[int, str, int, float]
"""Who received what, the id of the message that it is about (else of the event), and when."""


class Crowd:
    """All clients, and what they were sent."""

    def __init__(self, url: str) -> None:
        self._address = url.replace("http://", "ws://") + "/socket.io/?EIO=4&transport=websocket"
        self._open: dict[ClientConnection, asyncio.Task[None]] = {}
        self._receipts: list[Receipt] = []
        self._numbers: Counter[str] = Counter()
        self._room = asyncio.Semaphore(AT_ONCE)

    async def connect(self, clients: list[list[Any]]) -> dict[str, Any]:
        """Let clients in, each with its account, token and last id; when it began, and how long all took."""
        began = time.time()
        await asyncio.gather(*(self._enter(*client) for client in clients))
        return {"began": began, "seconds": time.time() - began}

    async def _enter(self, user: int, token: str, last_id: int | None) -> None:
        async with self._room:
            socket = await connect(
                self._address, compression=None, ping_interval=None, proxy=None, open_timeout=PATIENCE_SECONDS
            )
            await socket.recv()
            told = {"token": token} if last_id is None else {"token": token, "last_id": last_id}
            await socket.send("40" + orjson.dumps(told).decode())
            answer = str(await socket.recv())
            if not answer.startswith("40"):
                raise RuntimeError(f"{user} is not let in: {answer}")
            while not str(await socket.recv()).startswith('42["ready"'):
                pass
        self._open[socket] = asyncio.create_task(self._listen(user, socket))

    async def _listen(self, user: int, socket: ClientConnection) -> None:
        async for frame in socket:
            now = time.time()
            if frame == "2":
                await socket.send("3")
            elif str(frame).startswith("42"):
                name, body = orjson.loads(frame[2:])
                self._note(user, name, body, now)

    def _note(self, user: int, name: str, body: dict[str, Any], now: float) -> None:
        self._numbers[name] += 1
        if name in COUNTED:
            about = body.get("message_id") or body.get("notification", {}).get("data", {}).get("message_id")
            self._receipts.append((user, name, about or body["id"], now))

    async def received(self, name: str, number: int, seconds: float) -> dict[str, Any]:
        """What was received since this was last asked for, once ``number`` events of the name have come, or in time."""
        deadline = time.monotonic() + seconds
        while self._numbers[name] < number and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        receipts, self._receipts, numbers, self._numbers = self._receipts, [], self._numbers, Counter()
        return {"receipts": receipts, "numbers": numbers, "open": sum(not task.done() for task in self._open.values())}

    async def close(self) -> dict[str, Any]:
        """Let all go."""
        gone, self._open = self._open, {}
        await asyncio.gather(*(socket.close() for socket in gone))
        await asyncio.gather(*gone.values())
        return {"closed": len(gone)}


async def obey(url: str) -> None:
    """Carry out orders until there are no more."""
    crowd = Crowd(url)
    orders: dict[str, Callable[..., Awaitable[dict[str, Any]]]] = {
        "connect": crowd.connect,
        "received": crowd.received,
        "close": crowd.close,
    }
    while line := await asyncio.to_thread(sys.stdin.buffer.readline):
        order = orjson.loads(line)
        answer = await orders[order.pop("do")](**order)
        sys.stdout.buffer.write(orjson.dumps(answer) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    asyncio.run(obey(sys.argv[1]))
