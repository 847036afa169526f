"""The server alone: who reads slowly holds no thread, what was begun is finished, bodies arrive as they were sent."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Event

import pytest

from tests.deploy.world import ROOT
from tests.support.production import Server, pserve
from tests.support.raw_http import Connection, ask, request
from tests.support.streaming_app import PART, PARTS

INI = """
[app:main]
use = call:tests.support.streaming_app:make
http.drain_seconds = 2
[server:main]
use = egg:marketplace-api#granian
workers = 1
blocking_threads = 4
"""
SLOW = 9
FORM = ("Content-Type: multipart/form-data; boundary=x", "Authorization: Bearer x")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    ini = tmp_path / "streams.ini"
    ini.write_text(INI)
    with pserve(ini, tmp_path, {**os.environ, "PYTHONPATH": str(ROOT)}) as running:
        yield running


def _counted(server: Server) -> dict[str, int]:
    told: dict[str, int] = ask(server.port, request("GET", "/counted")).json
    return told


def test_slow_readers_hold_no_thread_and_little_memory(server: Server) -> None:
    with ExitStack() as stack:
        for _ in range(SLOW):
            stack.enter_context(Connection(server.port)).send(request("GET", "/long"))
        before = -1
        while (made := _counted(server)["parts"]) != before:  # more threads than there are wait for none of them
            before = made
            Event().wait(0.5)
        assert SLOW <= made < SLOW * PARTS / 4, "parts are made that nobody takes"
    for _ in range(600):
        if _counted(server)["closed"] == SLOW:
            break
        Event().wait(0.1)
    told = _counted(server)
    assert told["closed"] == SLOW and told["parts"] < SLOW * PARTS / 4, "they go on for clients that are gone"
    whole = ask(server.port, request("GET", "/long"))
    assert whole.body == PART * PARTS
    head = ask(server.port, request("HEAD", "/long"), "HEAD")
    assert (head.status, head.headers["content-length"]) == (200, str(len(PART) * PARTS))


def test_large_bodies_arrive_as_they_were_sent(server: Server) -> None:
    sent = os.urandom(20_000_000)
    digest = hashlib.sha256(sent).hexdigest()
    length = f"Content-Length: {len(sent)}"
    told = ask(server.port, request("POST", "/", *FORM, length, body=sent)).json
    assert (told["digest"], told["length"]) == (digest, str(len(sent)))
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in (sent[:7_000_000], sent[7_000_000:]))
    chunked = request("POST", "/", *FORM, "Transfer-Encoding: chunked", body=chunks + b"0\r\n\r\n")
    told = ask(server.port, chunked).json
    assert (told["digest"], told["length"]) == (digest, str(len(sent)))
    assert "HTTP_TRANSFER_ENCODING" not in told["headers"]


def test_what_was_begun_is_finished(server: Server) -> None:
    with Connection(server.port) as slow, Connection(server.port) as long, Connection(server.port) as body:
        slow.send(request("GET", "/slow"))
        long.send(request("GET", "/long"))
        body.send(request("POST", "/", "Content-Length: 4", body=b"ab"))
        server.process.terminate()
        while ask(server.port, request("GET", "/readyz")).json["refused"] is None:
            Event().wait(0.05)
        body.send(b"cd")
        assert slow.answer().status == 200
        assert body.answer().json["size"] == 4
        assert long.answer().body == PART * PARTS
    assert server.process.wait(60) == 0


def test_a_worker_that_dies_is_replaced(server: Server) -> None:
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
    if not children.exists():
        pytest.skip("it asks /proc for the children, which only Linux has")
    first = _workers(children)
    for pid in first:
        os.kill(pid, 9)
    for _ in range(600):
        Event().wait(0.1)
        try:
            if ask(server.port, request("GET", "/")).status == 200:
                break
        except OSError:
            continue
    assert _workers(children).isdisjoint(first) and _workers(children)


def _workers(children: Path) -> set[int]:
    """Those that serve; the other child looks after what processes share."""
    pids = map(int, children.read_text().split())
    return {pid for pid in pids if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()}
