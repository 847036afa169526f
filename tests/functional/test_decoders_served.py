"""The production server under uploads that take much to decode: its memory, and whom it answers meanwhile."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image

from marketplace_api import boot
from marketplace_api.database.engines import Databases
from marketplace_api.domain.kernel.tokens import generate_seed
from marketplace_api.gateways.document_cipher import generate_key
from tests.factories.accounts import PASSWORD, make_user
from tests.support.client import multipart
from tests.support.polling import eventually

ROOT = Path(__file__).resolve().parents[2]
PICTURE = "/api/users/me/picture"
SENDERS, EACH = 4, 4


def flat(width: int, height: int) -> bytes:
    """Many pixels in a few kilobytes."""
    out = BytesIO()
    Image.new("1", (width, height)).save(out, "PNG")
    return out.getvalue()


class Server:
    """pserve with production.ini, as a process with its workers and their decoders."""

    def __init__(self, process: psutil.Process, port: int) -> None:
        self.process, self.port = process, port

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, {"X-Forwarded-For": "192.0.2.1", **named})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def answers(self) -> bool:
        with suppress(OSError, http.client.HTTPException):
            return self.ask("GET", "/healthz")[0] == 200
        return False

    def _children(self, *, decoders: bool) -> Iterator[psutil.Process]:
        for child in self.process.children(recursive=True):
            with suppress(psutil.Error):
                if ("marketplace_api.gateways.decoding.child" in child.cmdline()) == decoders:
                    yield child

    def decoders(self) -> list[psutil.Process]:
        return list(self._children(decoders=True))

    def memory(self) -> int:
        """Of the largest process that answers requests, in bytes."""
        return max(child.memory_info().rss for child in (self.process, *self._children(decoders=False)))


@contextmanager
def production(databases: Databases, data: Path) -> Iterator[Server]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "DATABASE_URL": boot.connection_url(databases),
        "DATA_DIR": str(data),
        "MARKETPLACE_SECRET": "0123456789abcdef" * 4,
        "JWT_KEYS": f"one:{generate_seed()}",
        "DOCUMENT_KEYS": f"one:{generate_key()}",
        "PUBLIC_URL": "https://market.example",
        "SMTP_URL": "smtp://127.0.0.1",
        "RATE_LIMIT_MULTIPLIER": "1000",
    }
    environment.pop("PORT", None)
    program = [sys.executable, "-m", "marketplace_api.serve", str(ROOT / "production.ini"), f"http_port={port}"]
    process = subprocess.Popen(program, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    server = Server(psutil.Process(process.pid), port)
    try:
        eventually(server.answers)
        yield server
    finally:
        decoders = server.decoders()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    _gone, alive = psutil.wait_procs(decoders, 60)
    assert alive == [], "decoders end with the server"


@pytest.fixture
def server(committed_databases: Databases, tmp_path: Path) -> Iterator[Server]:
    with committed_databases.session() as session:
        make_user(session, username="sender", email="sender@people.example")
        session.commit()
    with production(committed_databases, tmp_path) as server:
        yield server


def _token(server: Server) -> str:
    sent = json.dumps({"email": "sender@people.example", "password": PASSWORD}).encode()
    status, _headers, body = server.ask("POST", "/api/auth/login", sent, Content_Type="application/json")
    assert status == 200, body
    return str(json.loads(body)["token"])


def test_giants_neither_grow_nor_stop_the_server(server: Server) -> None:
    """16 times 49 megapixels from four senders: every one is taken in the end, and whoever else asks is answered."""
    token = _token(server)
    small, giant = (multipart({"file": flat(*size)}) for size in ((50, 50), (7000, 7000)))

    def send(form: tuple[str, bytes]) -> None:
        kind, body = form
        while True:
            status, headers, text = server.ask(
                "POST", PICTURE, body, Content_Type=kind, Authorization=f"Bearer {token}"
            )
            if status != 503:
                break
            assert int(headers["Retry-After"]) >= 1
            time.sleep(0.3)
        statuses.append((status, text[:200] if status >= 400 else b""))

    statuses: list[tuple[int, bytes]] = []
    for _ in range(8):  # so that each process has taken an upload before
        send(small)
    before = server.memory()
    statuses.clear()
    threads = [threading.Thread(target=lambda: [send(giant) for _ in range(EACH)]) for _ in range(SENDERS)]
    for thread in threads:
        thread.start()
    asked = 0
    while any(thread.is_alive() for thread in threads):
        assert server.ask("GET", "/healthz")[0] == 200
        assert server.ask("GET", "/api/users/me", Authorization=f"Bearer {token}")[0] == 200
        asked += 1
        time.sleep(0.1)
    assert len(statuses) == SENDERS * EACH
    assert {status for status, _ in statuses} <= {200, 201}, statuses
    assert asked > 3
    assert server.memory() - before < 150_000_000
    assert sum(child.memory_info().rss for child in server.decoders()) < 4 * 200 * 1024 * 1024

    for child in server.decoders():
        child.kill()
    statuses.clear()
    send(small)
    assert {status for status, _ in statuses} <= {200, 201}, statuses
