"""Servers as child processes: started, waited for, weighed (CPU seconds and memory of the whole tree) and stopped."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

START_SECONDS = 60
STOP_SECONDS = 10
_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Memory:
    """Megabytes: the largest peak of one process (RSS, with shared pages), and the present sum (PSS, without twice)."""

    peak_process_mb: float
    total_mb: float
    processes: int


class Server:
    """A running server; it listens on ``url``."""

    def __init__(self, process: subprocess.Popen[bytes], url: str) -> None:
        self.pid, self.url = process.pid, url
        self._process = process

    def cpu_seconds(self) -> float:
        return sum(cpu_seconds(pid) for pid in tree(self.pid))

    def memory(self) -> Memory:
        pids = tree(self.pid)
        peaks = [peak_mb(pid) for pid in pids]
        shares = [_kilobytes(_PROC / str(pid) / "smaps_rollup", "Pss:") / 1024 for pid in pids]
        return Memory(round(max(peaks, default=0), 1), round(sum(shares), 1), len(pids))

    def wait_until_it_answers(self, path: str, log: Path) -> None:
        """Raises RuntimeError with the end of its log where it ends instead, or takes too long."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(URLError, OSError), urlopen(self.url + path, timeout=5) as answer:
                if answer.status == 200:
                    return
            time.sleep(0.1)
        raise RuntimeError(f"The server does not answer: {log.read_text(errors='replace')[-2000:].strip()}")


@contextmanager
def serving(
    command: Sequence[str],
    port: int,
    *,
    ready: str,
    log: Path,
    environment: Mapping[str, str],
    folder: Path,
    cores: set[int] | None = None,
) -> Iterator[Server]:
    """The server that ``command`` starts, once ``ready`` answers; on ``cores`` only, where given."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            on_cores(command, cores),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=folder,
            start_new_session=True,
            env={**os.environ, **environment},
        )
    try:
        server = Server(process, f"http://127.0.0.1:{port}")
        server.wait_until_it_answers(ready, log)
        yield server
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the whole session that ``process`` leads."""
    for number, seconds in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, STOP_SECONDS)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)


def on_cores(command: Sequence[str], cores: set[int] | None) -> list[str]:
    """``command``, kept on ``cores`` where given. (A preexec_fn could deadlock: progress bars have a thread.)"""
    return ["taskset", "--cpu-list", ",".join(map(str, sorted(cores))), *command] if cores else [*command]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def tree(pid: int) -> list[int]:
    """``pid`` and all that it started, directly or not."""
    children: dict[int, list[int]] = {}
    for folder in _PROC.iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int(_stat(int(folder.name))[1])
                children.setdefault(parent, []).append(int(folder.name))
    found = [pid]
    for known in found:
        found += children.get(known, [])
    return found


def cpu_seconds(pid: int) -> float:
    """What the process itself has used, and what its ended children had; 0 once it is gone."""
    try:
        fields = _stat(pid)
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / _TICKS


def peak_mb(pid: int) -> float:
    """The most memory that the process has held so far, in megabytes (RSS); 0 once it is gone."""
    return _kilobytes(_PROC / str(pid) / "status", "VmHWM:") / 1024


def resident_mb(pid: int) -> float:
    """The memory that the process holds now, in megabytes (RSS)."""
    return _kilobytes(_PROC / str(pid) / "status", "VmRSS:") / 1024


def divide_cores(number: int) -> tuple[set[int] | None, set[int] | None]:
    """``number`` cores for what is measured, and the others; ``None`` where they cannot be kept apart."""
    if sys.platform != "linux" or not shutil.which("taskset"):
        return None, None
    available = sorted(os.sched_getaffinity(0))
    if len(available) < 2 * number:
        return None, None
    return set(available[:number]), set(available[number:])


@contextmanager
def pinned(pid: int | None, cores: set[int] | None) -> Iterator[None]:
    """Keep a process and those that it started on ``cores``; 0 means this process alone. Undone at the end."""
    if pid is None or cores is None:
        yield
        return
    before = os.sched_getaffinity(pid)
    _pin(pid, cores)
    try:
        yield
    finally:
        _pin(pid, before)


def _pin(pid: int, cores: set[int]) -> None:
    for one in tree(pid) if pid else [0]:
        with contextlib.suppress(OSError):
            os.sched_setaffinity(one, cores)


def postmaster(folder: Path) -> int | None:
    """The process id of the PostgreSQL in ``folder``, ``None`` if we may not know."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int((folder / "data" / "postmaster.pid").read_text().split()[0])
    return None


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name, which may hold anything: state, parent, …"""
    return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()


def _kilobytes(path: Path, name: str) -> float:
    with contextlib.suppress(OSError):
        for line in path.read_text().splitlines():
            if line.startswith(name):
                return float(line.split()[1])
    return 0.0
