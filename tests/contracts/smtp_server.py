"""A real SMTP server for tests, on a port of its own, that answers what it is told to."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope


class Server:
    """Keeps what it takes. ``answer`` is what it says to a message; ``hold`` makes it wait with that until it is set."""

    def __init__(self) -> None:
        self.contents: list[bytes] = []
        self.answer = "250 OK"
        self.hold: threading.Event | None = None
        self.arrived = threading.Event()

    async def handle_DATA(  # noqa: N802  the server looks for this name
        self, _server: SMTP, _session: Any, envelope: Envelope
    ) -> str:
        assert isinstance(envelope.content, bytes)
        if self.answer.startswith("2"):
            self.contents.append(envelope.content)
        self.arrived.set()
        if self.hold is not None:
            await asyncio.to_thread(self.hold.wait, 30)
        return self.answer

    def received(self) -> list[EmailMessage]:
        return [message_from_bytes(content, policy=policy.default) for content in self.contents]  # type: ignore[misc]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def listening(server: Server, port: int) -> Iterator[None]:
    controller = Controller(server, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield
    finally:
        controller.stop()
