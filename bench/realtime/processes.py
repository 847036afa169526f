"""The processes that take part, started and stopped: the realtime process, a worker beside it, and the crowd of clients."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import psycopg

from bench import application, servers
from bench.report import ROOT
from marketplace_api.domain.kernel.tokens import SigningKeys

LIFETIME = timedelta(days=1)
SETTLE_SECONDS = 3.0
"""After a start, and after many came or went, before anything is weighed."""

_BUSY = """
    SELECT EXISTS (SELECT FROM procrastinate_workers), EXISTS (
        SELECT FROM procrastinate_jobs
        WHERE status IN ('todo', 'doing') AND (scheduled_at IS NULL OR scheduled_at <= now())
    )
"""
_CLI = [sys.executable, "-m", "marketplace_api.cli"]


def environment(url: str, folder: Path) -> Mapping[str, str]:
    """What the processes are started with: the development's configuration, without a log of what succeeds."""
    return {
        "DATABASE_URL": url,
        "DATA_DIR": str(folder / "realtime"),
        "JWT_KEYS": application.JWT_KEY,
        "MARKETPLACE_INI": str(ROOT / "development.ini"),
        "LOG_LEVEL": application.LOG_LEVEL,
        "RATE_LIMIT_MULTIPLIER": str(application.UNREACHED),
        "PYTHONPATH": str(ROOT),
    }


@contextmanager
def realtime(url: str, folder: Path) -> Iterator[servers.Server]:
    """A realtime process that is ready."""
    port = servers.free_port()
    command = [*_CLI, "realtime", "run", "--port", str(port)]
    with servers.serving(
        command, port, ready="/readyz", log=folder / "realtime.log", environment=environment(url, folder), folder=ROOT
    ) as server:
        yield server


@contextmanager
def worker(url: str, folder: Path) -> Iterator[int]:
    """A worker that has nothing to do yet, by its process id."""
    with (folder / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            [*_CLI, "jobs", "run"], cwd=ROOT, env={**os.environ, **environment(url, folder)}, stdout=log, stderr=log
        )
    try:
        _wait_until_idle(url, process, folder / "worker.log")
        yield process.pid
    finally:
        process.terminate()
        process.wait(60)


def _wait_until_idle(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Once it has begun, and done what the clock had in store for it."""
    deadline = time.monotonic() + servers.START_SECONDS
    with psycopg.connect(url, autocommit=True) as connection:
        while connection.execute(_BUSY).fetchone() != (True, False):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"The worker does not come to rest: {log.read_text()[-2000:]}")
            time.sleep(1)
    time.sleep(SETTLE_SECONDS)


@dataclass(frozen=True, slots=True)
class Receipt:
    """Something that reached a client: ``about`` is the id of the message that it is about, else that of the event."""

    user: int
    name: str
    about: int
    moment: float


class Crowd:
    """The process with all clients. A client has an account, and the session of the same number."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.pid = process.pid
        self._process = process
        self._keys = SigningKeys.from_setting(application.JWT_KEY)
        self._now = datetime.now(UTC)
        self.open = 0

    def connect(self, users: Sequence[int], last_id: int | None = None) -> tuple[float, float]:
        """Connect a client for each account; when that began, and the seconds until the last was told that it is."""
        clients = [(user, self._keys.sign(user, user, self._now, LIFETIME), last_id) for user in users]
        told = self._ask(do="connect", clients=clients)
        return told["began"], told["seconds"]

    def received(self, number: int, seconds: float, name: str = "message.created") -> list[Receipt]:
        """What came since it was last asked, once that are so many events of the name, or after so many seconds."""
        told = self._ask(do="received", name=name, number=number, seconds=seconds)
        self.open = told["open"]
        return [Receipt(*receipt) for receipt in told["receipts"]]

    def close(self) -> None:
        """All clients go."""
        self._ask(do="close")

    def _ask(self, **order: Any) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(orjson.dumps(order) + b"\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("The process with the clients has ended.")
        answer: dict[str, Any] = orjson.loads(line)
        return answer


@contextmanager
def crowd(server: servers.Server) -> Iterator[Crowd]:
    """A process that holds clients of ``server``."""
    command = [sys.executable, "-m", "bench.realtime.crowd", server.url]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield Crowd(process)
    finally:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.close()
        process.wait(60)
        process.stdout.close()
