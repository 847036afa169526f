"""Webhooks as tests need them, and a receiver that listens on a real port."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from sqlalchemy.orm import Session

from marketplace_api.config.settings import Settings
from marketplace_api.domain.kernel.actors import operator
from marketplace_api.domain.outbound.webhooks import endpoints

OPERATOR = operator("test")
OPEN = Settings(outbound_allow_private=True)


@dataclass(frozen=True)
class Received:
    """One request."""

    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """What came so far; ``answer`` says with which status, headers and body to answer, and may take its time."""

    url: str = ""
    got: list[Received] = field(default_factory=list)
    answer: Callable[[Received], tuple[int, dict[str, str], bytes]] = lambda _request: (200, {}, b"thanks")


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            request = Received({name.lower(): value for name, value in self.headers.items()}, body)
            receiver.got.append(request)
            status, headers, content = receiver.answer(request)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()


def make_webhook(session: Session, url: str = "https://receiver.example/hook", *types: str) -> Any:
    """An endpoint's row, for events of these types, or all; nothing is committed."""
    return endpoints.create(session, OPERATOR, OPEN, url=url, event_types=types or ("*",)).row


def make_delivery(session: Session) -> dict[str, int]:
    """A delivery that waits: its id and that of its endpoint, as addresses name them."""
    endpoint_id = make_webhook(session).endpoint_id
    return {"endpoint_id": endpoint_id, "delivery_id": endpoints.test(session, OPERATOR, endpoint_id)}
