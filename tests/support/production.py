"""The real servers as child processes: `pserve` with the shipped inis, and the shipped proxies before them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deploy.world import DEPLOY, ROOT
from tests.support.raw_http import ask, request
from tests.unit.cli.faults import free_port

SECONDS = 120  # to start, or to end, on a busy machine
REQUIRED = "REQUIRED_PROGRAMS"


@dataclass(frozen=True, slots=True)
class Server:
    """A running server on this machine."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path

    def end(self) -> int:
        """Tell it to stop, and wait; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(SECONDS)


@contextmanager
def pserve(ini: Path, folder: Path, environment: Mapping[str, str], port: int = 0) -> Iterator[Server]:
    """The service of ``ini``, once it answers; its log lies in ``folder``."""
    port = port or free_port()
    command = [sys.executable, "-m", "marketplace_api.serve", str(ini), f"http_port={port}"]
    with _running(command, port, folder / f"pserve-{port}.log", environment) as server:
        yield server


@contextmanager
def proxied(name: str, upstreams: Sequence[int], folder: Path) -> Iterator[Server]:
    """The proxy ``caddy`` or ``nginx`` with the shipped file, without TLS, before servers on these ports."""
    program = program_for_tests(name)
    port = free_port()
    if name == "caddy":
        path = folder / "Caddyfile"
        path.write_text(_caddyfile(port, upstreams))
        command = [program, "run", "--config", str(path), "--adapter", "caddyfile"]
    else:
        path = folder / "nginx.conf"
        path.write_text(_nginx_conf(port, upstreams, folder))
        command = [program, "-c", str(path), "-e", str(folder / "nginx-start.log"), "-g", "daemon off;"]
    kept = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    with _running(command, port, folder / f"{name}.log", kept) as server:
        yield server


def program_for_tests(name: str) -> str:
    """Where a program lies; without it the test is skipped, and fails where all must run."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/local/sbin")
    if found is None:
        if name in os.environ.get(REQUIRED, "").split():
            pytest.fail(f"{name} is not installed, and {REQUIRED} names it")
        pytest.skip(f"{name} is not installed (on Debian and Ubuntu: apt install {name})")
    return found


def _caddyfile(port: int, upstreams: Sequence[int]) -> str:
    text = (DEPLOY / "Caddyfile").read_text()
    addresses = " ".join(f"127.0.0.1:{upstream}" for upstream in upstreams)
    for shipped, here in (
        ("market.example {", f"http://:{port} {{"),
        ("reverse_proxy 127.0.0.1:6543 {", f"reverse_proxy {addresses} {{"),
        ("{\n\tservers {", "{\n\tadmin off\n\tservers {"),
    ):
        assert text.count(shipped) == 1, shipped
        text = text.replace(shipped, here)
    return text


def _nginx_conf(port: int, upstreams: Sequence[int], folder: Path) -> str:
    text = (DEPLOY / "nginx.conf").read_text()
    [shipped] = re.findall(r"\tserver 127\.0\.0\.1:6543 .*;\n", text)
    text = text.replace(shipped, "".join(shipped.replace("6543", str(upstream)) for upstream in upstreams))
    assert "listen 443 ssl http2;" in text
    text = text.replace("listen 443 ssl http2;", f"listen 127.0.0.1:{port};")
    text = re.sub(r"\tssl_.*\n", "", text)
    text = re.sub(r"server \{\n\tlisten 80;.*?\n\}\n", "", text, flags=re.DOTALL)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    return (
        f"pid {folder}/nginx.pid;\nworker_processes 1;\nevents {{ worker_connections 1024; }}\n"
        f"http {{\naccess_log {folder}/access.log;\nerror_log {folder}/error.log;\n{folders}{text}}}\n"
    )


@contextmanager
def _running(command: list[str], port: int, log: Path, environment: Mapping[str, str]) -> Iterator[Server]:
    with log.open("ab") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=dict(environment), stdout=output, stderr=output)
    try:
        _until_it_answers(process, port, log)
        yield Server(port, process, log)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(SECONDS)
            finally:
                process.kill()
                process.wait(SECONDS)


def _until_it_answers(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if ask(port, request("GET", "/healthz")).status == 200:
                return
        except OSError:
            pass
        time.sleep(0.2)
    raise AssertionError(f"it does not answer: {log.read_text(errors='replace')[-3000:]}")
