"""Who sends without ever reading costs the realtime process no memory."""

from __future__ import annotations

import base64
import re
import socket

from tests.functional.test_realtime import Start, start
from tests.support.realtime import Process, ask

__all__ = ["start"]  # a fixture

PINGS = 400_000
UPGRADE = (
    b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n" % base64.b64encode(bytes(16))
)
PING = b"\x89\xfd" + bytes(4) + bytes(125)
"""One that is to be answered with as many bytes (RFC 6455, section 5.5.2)."""


def memory(process: Process) -> float:
    found = re.search(r"^marketplace_realtime_memory_bytes (\S+)", ask(f"{process.address}/metrics")[1], re.MULTILINE)
    assert found is not None
    return float(found[1])


def test_pings_whose_answers_nobody_reads_are_not_answered(start: Start) -> None:
    process = start()
    process.wait_until(ready=True)
    before = memory(process)
    with socket.create_connection(("127.0.0.1", process.port), timeout=30) as flood:
        flood.sendall(UPGRADE)
        assert flood.recv(2000).startswith(b"HTTP/1.1 101")
        for _ in range(PINGS // 1000):
            flood.sendall(PING * 1000)
        assert memory(process) - before < PINGS * len(PING) / 4
