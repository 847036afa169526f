"""Where the servers listen, and that granian really serves the ini's app and stops when told."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from marketplace_api import boot, serve
from marketplace_api.config.settings import SettingsError
from marketplace_api.database.engines import Databases
from marketplace_api.domain.kernel.tokens import generate_seed
from marketplace_api.gateways.document_cipher import generate_key
from tests.factories.accounts import make_user

ROOT = Path(__file__).resolve().parents[2]


def test_the_port_comes_from_environment_command_line_or_ini(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PORT", raising=False)
    assert serve.port_of({}) == serve.DEFAULT_PORT
    assert serve.port_of({"http_port": "7000"}) == 7000
    monkeypatch.setenv("PORT", "8000")
    assert serve.port_of({"http_port": "7000"}) == 8000
    for wrong in ("banana", "0", "65536", "-1"):
        monkeypatch.setenv("PORT", wrong)
        with pytest.raises(SettingsError):
            serve.port_of({})


def test_a_container_listens_where_its_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MARKETPLACE_HOST", raising=False)
    assert serve.host_of("127.0.0.1") == "127.0.0.1"
    monkeypatch.setenv("MARKETPLACE_HOST", "0.0.0.0")
    assert serve.host_of("127.0.0.1") == "0.0.0.0"


def test_unknown_keys_of_the_server_section_are_named() -> None:
    with pytest.raises(ValueError, match="threads"):
        serve.granian_runner(None, {"__file__": "x"}, threads="4")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("ini", ["production.ini", "development.ini"])
def test_pserve_answers_and_stops(ini: str, committed_databases: Databases, tmp_path: Path) -> None:
    port = _free_port()
    with committed_databases.session() as session:
        make_user(session)  # where somebody is, no demo data is loaded
        session.commit()
    environment = {
        **os.environ,
        "DATABASE_URL": boot.connection_url(committed_databases),
        "DATA_DIR": str(tmp_path),
        "MARKETPLACE_SECRET": "0123456789abcdef" * 4,
        "JWT_KEYS": f"one:{generate_seed()}",
        "DOCUMENT_KEYS": f"one:{generate_key()}",
        "PUBLIC_URL": "https://market.example",
        "SMTP_URL": "smtp://127.0.0.1",
    }
    for name in ("PORT", "REDIS_URL"):
        environment.pop(name, None)
    program = [sys.executable, "-m", "marketplace_api.serve", str(ROOT / ini), f"http_port={port}"]
    log = tmp_path / "log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(program, env=environment, stderr=stderr, stdout=subprocess.DEVNULL)
    try:
        assert _status(f"http://127.0.0.1:{port}/healthz") == 200
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    has_many = ini == "production.ini" and serve.cores() > 1
    assert log.read_text().count("count by themselves") == int(has_many)


def _status(url: str) -> int:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + 120
    while True:
        try:
            with opener.open(url, timeout=5) as answer:
                return int(answer.status)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
