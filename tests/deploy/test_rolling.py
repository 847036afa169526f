"""One instance after the other is replaced behind the shipped proxies, and nobody's request is lost."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Event, Thread
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from marketplace_api.database.embedded_postgres import EmbeddedPostgres
from tests.deploy.world import ROOT, production_environment
from tests.support import postgres
from tests.support.production import program_for_tests, proxied, pserve
from tests.support.raw_http import Connection, ask, post, request
from tests.unit.cli.faults import free_port

POSTERS = 3


@pytest.fixture
def url(postgres_server: EmbeddedPostgres, template_database: str) -> Iterator[str]:
    name = f"throwaway_{uuid4().hex[:12]}"
    yield postgres.clone_database(postgres_server, template_database, name)
    postgres.drop_database(postgres_server, name)


@pytest.fixture
def environment(url: str, tmp_path: Path) -> dict[str, str]:
    return production_environment(
        url,
        tmp_path,
        SMTP_URL="smtp://127.0.0.1",
        RATE_LIMIT_MULTIPLIER="1000",
        AUTH_BCRYPT_COST="4",
        LOG_LEVEL="WARNING",
    )


@pytest.fixture
def ini(tmp_path: Path) -> Path:
    path = tmp_path / "production.ini"
    path.write_text((ROOT / "production.ini").read_text().replace("workers =\n", "workers = 1\n"))
    return path


class Posters:
    """Programs that register one account after the other, and keep what they were answered."""

    def __init__(self, port: int) -> None:
        self.answers: list[tuple[int, bytes]] = []
        self._port, self._stop, self._numbers = port, Event(), itertools.count()
        self._threads = [Thread(target=self._post, daemon=True) for _ in range(POSTERS)]

    def __enter__(self) -> Posters:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in self._threads)

    def wait_for(self, more: int) -> None:
        """Until so many more of them are answered."""
        wanted = len(self.answers) + more
        _until(lambda: len(self.answers) >= wanted)

    def _post(self) -> None:
        while not self._stop.wait(0.02):
            name = f"roll{next(self._numbers)}"
            account = {"username": name, "email": f"{name}@people.example", "password": "correct horse battery"}
            answer = ask(self._port, post("/api/auth/register", account))
            self.answers.append((answer.status, answer.body))


@pytest.mark.parametrize("proxy", ["caddy", "nginx"])
def test_a_roll_loses_no_post(proxy: str, url: str, ini: Path, environment: dict[str, str], tmp_path: Path) -> None:
    program_for_tests(proxy)
    ports = [free_port(), free_port()]
    first, second = (pserve(ini, tmp_path, environment, port) for port in ports)
    with ExitStack() as stack:
        old, other = stack.enter_context(first), stack.enter_context(second)
        front = stack.enter_context(proxied(proxy, ports, tmp_path))
        posters = Posters(front.port)
        with posters:  # to their end before anything else ends
            assert old.end() == 0
            posters.wait_for(20)
            stack.enter_context(pserve(ini, tmp_path, environment, ports[0]))
            Event().wait(8)  # the proxy knows of it by then
            assert other.end() == 0
            posters.wait_for(20)
        failed = [answer for answer in posters.answers if answer[0] != 201]
        assert not failed, f"{len(failed)} of {len(posters.answers)}, such as {failed[:3]}"
    with psycopg.connect(url) as connection:
        row: Any = connection.execute("SELECT count(*) FROM users WHERE username LIKE 'roll%'").fetchone()
    assert row[0] == len(posters.answers)


def _until(happens: Any) -> None:
    for _ in range(600):
        if happens():
            return
        Event().wait(0.1)
    raise AssertionError("it does not happen")


def test_readiness_goes_before_the_port(ini: Path, environment: dict[str, str], tmp_path: Path) -> None:
    with pserve(ini, tmp_path, environment) as server, Connection(server.port) as kept:
        kept.send(request("GET", "/readyz"))
        ready = kept.answer()
        assert (ready.status, ready.headers.get("connection")) == (200, None)
        server.process.terminate()
        _until(lambda: ask(server.port, request("GET", "/readyz")).status == 503)
        told = ask(server.port, request("GET", "/readyz"))
        assert (told.status, told.code, told.headers["retry-after"]) == (503, "unavailable", "5")
        assert ask(server.port, request("GET", "/healthz")).status == 200
        # Who comes nevertheless is served, and sent elsewhere for the next request.
        kept.send(request("GET", "/api/listings"))
        answer = kept.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert server.process.wait(60) == 0
        with pytest.raises(ConnectionRefusedError):
            ask(server.port, request("GET", "/healthz"))
