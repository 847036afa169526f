"""What a connection may send, and what ends it before the library sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from marketplace_api.realtime.protocol_guard import FRAMES, FRAMES_SECONDS, GREET_SECONDS, MOST_BYTES, ProtocolGuard

FINE = (
    "3",
    "2",
    "2probe",
    "1",
    "6",
    "40",
    '40{"token":"x"}',
    "40/other,",
    '40/other,{"token":"x"}',
    "41",
    '42["subscribe",{"topic":"listing:1"}]',
    '420["typing",{"conversation_id":7,"typing":true}]',
    '42["hello"]',
)
HOSTILE = (
    "",
    "x",
    "b!",
    "4",
    "49",
    "44",
    '44{"message":"x"}',
    '43["x"]',
    '431["x"]',
    "40x",
    "40[]",
    '400{"token":"x"}',
    "41x",
    "42",
    "42null",
    '42"x"',
    '42{"a":1}',
    "42[]",
    "42[1]",
    '42[["x"]]',
    '42["subscribe"',
    '42["disconnect"]',
    '42["connect"]',
    '42["*"]',
    '42["x","\\ud800"]',
    '42["x",NaN]',
    '42["x"]["y"]',
    f'42["x",{"[" * 5000}]',
    '451-["x",{"_placeholder":true,"num":0}]',
    '459999999999-["x",{"_placeholder":true,"num":0}]',
    f'42["{"x" * MOST_BYTES}"]',
    "0",
    "5",
    "7",
    "99",
    "42" + "9" * 30 + '["x"]',
    "4\u0662[]",
    b"\x04abc",
    b"",
)


def heard(*frames: str | bytes, clock: Any = lambda: 0.0, admitted: bool = True) -> list[str]:
    """The types of what the library is given, until it is told that the client has gone."""
    coming = iter(frames)

    async def receive() -> dict[str, Any]:
        frame = next(coming, None)
        if frame is None:
            await asyncio.sleep(60)
        kind = "text" if isinstance(frame, str) else "bytes"
        return {"type": "websocket.receive", "text": None, "bytes": None, kind: frame}

    async def listen() -> list[str]:
        guard = ProtocolGuard(receive, clock)
        if admitted:
            guard.admit()
        return [(await guard())["type"] for _ in frames]

    return asyncio.run(listen())


def test_frames_of_our_clients_pass_and_no_other_reaches_the_library() -> None:
    assert heard(*FINE) == ["websocket.receive"] * len(FINE)
    for frame in HOSTILE:
        assert heard(frame) == ["websocket.disconnect"], frame


def test_who_floods_and_who_never_says_who_they_are_goes() -> None:
    times: Iterator[float] = (1.01 * number * FRAMES_SECONDS / FRAMES for number in range(3 * FRAMES))
    assert set(heard(*["3"] * (2 * FRAMES), clock=lambda: next(times))) == {"websocket.receive"}
    assert heard(*["3"] * (FRAMES + 1))[-1] == "websocket.disconnect"
    # As if the time had passed: it is over before the next frame is waited for.
    late = iter((0.0, *[GREET_SECONDS] * 3))
    assert heard("3", clock=lambda: next(late), admitted=False) == ["websocket.disconnect"]
    # Who leaves has to come back in as long.
    gone = iter((0.0, 1.0, 1.0 + GREET_SECONDS))
    assert heard("41", "3", clock=lambda: next(gone)) == ["websocket.receive", "websocket.disconnect"]
