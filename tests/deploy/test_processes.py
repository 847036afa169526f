"""The lines of the Procfile, started as they stand: they serve, they work, they count together, and they end when told."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from marketplace_api import boot
from marketplace_api.database import migrations
from marketplace_api.database.engines import Databases
from tests.deploy.world import DEPLOY, ROOT, production_environment
from tests.unit.cli.faults import free_port

SECONDS = 60
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
TOKEN = "the-monitor-s-own-token"


class Inbox:
    """Takes all mail."""

    def __init__(self) -> None:
        self.recipients: list[str] = []

    async def handle_DATA(self, _server: object, _session: object, envelope: Any) -> str:  # noqa: N802
        self.recipients += envelope.rcpt_tos
        return "250 OK"


@pytest.fixture
def inbox() -> Iterator[tuple[Inbox, int]]:
    handler = Inbox()
    server = Controller(handler, hostname="127.0.0.1", port=free_port())
    server.start()
    yield handler, server.port
    server.stop()


def _ask(url: str, body: Any = None, **headers: str) -> tuple[int, str]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **headers})
    try:
        with OPENER.open(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


def _until(happens: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not happens():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.2)


def test_the_procfile(committed_databases: Databases, tmp_path: Path, inbox: tuple[Inbox, int]) -> None:
    mails, mail_port = inbox
    url, port, realtime_port = boot.connection_url(committed_databases), free_port(), free_port()
    migrations.downgrade(url, "base")
    environment = production_environment(
        url,
        tmp_path,
        PORT=str(port),
        SMTP_URL=f"smtp://127.0.0.1:{mail_port}",
        METRICS_TOKEN=TOKEN,
        REALTIME_PORT=str(realtime_port),
    )
    lines = dict(line.split(": ", 1) for line in (DEPLOY / "Procfile").read_text().splitlines())
    subprocess.run(shlex.split(lines["release"]), env=environment, cwd=ROOT, check=True, stderr=subprocess.DEVNULL)
    assert boot.schema_is_current(url)
    address = f"http://127.0.0.1:{port}"
    with ExitStack() as stack:
        processes = []
        for name in ("api", "worker", "realtime"):
            log = stack.enter_context((tmp_path / f"{name}.log").open("wb"))
            process = subprocess.Popen(shlex.split(lines[name]), env=environment, cwd=ROOT, stdout=log, stderr=log)
            stack.callback(process.kill)
            processes.append(process)
        _until(lambda: _ask(f"{address}/readyz")[0] == 200, "the API's readiness")
        _until(lambda: _ask(f"http://127.0.0.1:{realtime_port}/readyz")[0] == 200, "that of the realtime process")
        account = {"username": "ada", "email": "ada@people.example", "password": "correct horse battery"}
        assert _ask(f"{address}/api/auth/register", account)[0] == 201
        _until(lambda: mails.recipients == ["ada@people.example"], "the worker's mail")
        _check_metrics(address)
        for process in processes:
            process.send_signal(signal.SIGTERM)
        assert [process.wait(SECONDS) for process in processes] == [0, 0, 0], (tmp_path / "api.log").read_text()


def _check_metrics(address: str) -> None:
    """Whichever process answers, it tells what all of them have counted."""
    for _ in range(20):
        assert _ask(f"{address}/healthz")[0] == 200
    told = {_counted(address) for _ in range(8)}
    assert told == {20.0}
    metrics = _ask(f"{address}/metrics", Authorization=f"Bearer {TOKEN}")[1]
    assert re.search(r"^marketplace_workers 1.0$", metrics, re.MULTILINE)
    assert re.search(r'^marketplace_ready\{check="database"\} 1.0$', metrics, re.MULTILINE)
    assert re.search(r'^marketplace_process_memory_bytes\{pid="\d+"\} \d', metrics, re.MULTILINE)


def _counted(address: str) -> float:
    status, metrics = _ask(f"{address}/metrics", Authorization=f"Bearer {TOKEN}")
    assert status == 200
    found = re.findall(r'^marketplace_http_requests_total\{.*route="healthz".*\} (\S+)$', metrics, re.MULTILINE)
    return sum(map(float, found))
