"""Realtime processes and real clients of theirs, for tests."""

from __future__ import annotations

import itertools
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.npm import NODE, home_of
from tests.unit.cli.faults import free_port

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 30
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Process:
    """`marketplace-admin realtime run`, on a port of its own."""

    def __init__(self, url: str, folder: Path, log: Path, **environment: str) -> None:
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.log = log
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "DATABASE_URL": url,
            "DATA_DIR": str(folder),
            "MARKETPLACE_INI": str(ROOT / "development.ini"),
            "RATE_LIMITS": "false",
            **environment,
        }
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "marketplace_api.cli", "realtime", "run", "--port", str(self.port)],
                env=self._environment,
                stdout=log,
                stderr=log,
            )

    def wait_until(self, *, ready: bool) -> dict[str, Any]:
        """The answer of ``/readyz``, once it is as wanted."""
        deadline = time.monotonic() + SECONDS
        while True:
            status, text = ask(f"{self.address}/readyz")
            # It takes connections before it hears the others; tests begin when all of it is well.
            if status == (200 if ready else 503) and (not ready or json.loads(text)["status"] == "ready"):
                return dict(json.loads(text))
            assert self.process.poll() is None and time.monotonic() < deadline, (text, self.log.read_text())
            time.sleep(0.05)

    def stop(self) -> int:
        """Tell it to end, and its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(SECONDS)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def ask(url: str, **headers: str) -> tuple[int, str]:
    """Status and body of a GET; 0 where nobody answers."""
    try:
        with OPENER.open(urllib.request.Request(url, headers=headers), timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


class Connection:
    """What has reached one client, in the order in which it came."""

    def __init__(self, driver: Driver, name: str) -> None:
        self._driver, self.name = driver, name
        self.seen: list[tuple[str, Any]] = []
        self._looked = 0

    def wait_for(self, event: str, fits: Callable[[Any], bool] = lambda _data: True) -> Any:
        """The next event of this name that fits; those before it are passed over."""
        deadline = time.monotonic() + SECONDS
        while True:
            while self._looked < len(self.seen):
                name, data = self.seen[self._looked]
                self._looked += 1
                if name == event and fits(data):
                    return data
            assert time.monotonic() < deadline, f"{self.name} got no {event}, but {self.seen}"
            self._driver.read(0.1)

    def emit(self, event: str, data: Any = None) -> Any:
        """Ask for something, and the acknowledgement."""
        ref = next(self._driver.numbers)
        self._driver.order(op="emit", id=self.name, event=event, data=data, ref=ref)
        return self.wait_for("#ack", lambda said: said["ref"] == ref)["answer"]

    def close(self) -> None:
        self._driver.order(op="close", id=self.name)

    def all(self, event: str) -> list[Any]:
        """All events of this name that have come so far."""
        self._driver.read(0)
        return [data for name, data in self.seen if name == event]

    def ids(self, event: str) -> list[int]:
        return [data["message"]["message_id"] for data in self.all(event)]


class Driver:
    """The one node process that holds all clients of a test."""

    def __init__(self) -> None:
        folder = ROOT / "tests" / "realtime_client"
        self._node = subprocess.Popen(
            [NODE or "node", str(folder / "drive.mjs"), str(home_of(folder))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self.numbers = itertools.count(1)
        self._lines: queue.Queue[str] = queue.Queue()
        self._connections: dict[str, Connection] = {}
        threading.Thread(target=self._collect, daemon=True).start()

    def _collect(self) -> None:
        assert self._node.stdout is not None
        for line in self._node.stdout:
            self._lines.put(line)

    def order(self, **order: Any) -> None:
        assert self._node.stdin is not None
        self._node.stdin.write(json.dumps(order) + "\n")
        self._node.stdin.flush()

    def socket(self, process: Process, token: str | None, **auth: Any) -> Connection:
        return self._open(op="socket", url=process.address, auth={"token": token, **auth})

    def stream(self, process: Process, query: str = "", token: str = "") -> Connection:
        return self._open(op="stream", url=f"{process.address}/api/stream{query}", token=token)

    def _open(self, **order: Any) -> Connection:
        name = f"client{next(self.numbers)}"
        connection = self._connections[name] = Connection(self, name)
        self.order(id=name, **order)
        return connection

    def read(self, seconds: float) -> None:
        """Take in what has come, and wait for it so long if there is nothing."""
        wait = seconds
        while True:
            try:
                line = self._lines.get(timeout=wait) if wait else self._lines.get_nowait()
            except queue.Empty:
                return
            wait = 0
            said = json.loads(line)
            self._connections[said["id"]].seen.append((said["event"], said.get("data")))

    def stop(self) -> None:
        assert self._node.stdin is not None and self._node.stdout is not None
        self._node.stdin.close()
        self._node.wait(10)
        self._node.stdout.close()
