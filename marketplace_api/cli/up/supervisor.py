"""Keeps child processes running for `marketplace-admin up`: starts, watches, restarts and stops them.

Each child is a process group of its own, so a terminal's Ctrl-C reaches the supervisor only; on Linux the children
end with it even after `kill -9`. What they print comes out line by line behind their name.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import rich_click as click

from marketplace_api.cli.terminal import say, say_colored

STOP_SECONDS = 30
# A child that ends this soon after its start, this often, is not worth another try.
SOON_SECONDS = 10
MOST_QUICK_ENDS = 3


class ChildError(RuntimeError):
    """A child process does not stay up."""


@dataclass
class Child:
    """One program that shall run all the time."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    color: str = "cyan"
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    quick_ends: int = 0
    threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        from marketplace_api.serve import SUPERVISOR_VARIABLE

        self.started = time.monotonic()
        self.process = subprocess.Popen(  # noqa: S603  our own commands
            self.command,
            env={**self.environment, SUPERVISOR_VARIABLE: str(os.getpid()), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        thread = threading.Thread(target=self._relay, args=(self.process,), name=f"log of {self.name}", daemon=True)
        thread.start()
        self.threads.append(thread)

    def revive(self) -> None:
        """Start it again if it has ended; raises :class:`ChildError` if it keeps ending."""
        if self.process is None or self.process.poll() is None:
            return
        self.quick_ends = self.quick_ends + 1 if time.monotonic() - self.started < SOON_SECONDS else 1
        ending = _ending(self.process.returncode)
        if self.quick_ends >= MOST_QUICK_ENDS:
            raise ChildError(f"The {self.name} process ended again and again ({ending}): its last lines above say why.")
        say(f"The {self.name} process ended ({ending}); starting it again.", err=True)
        self.start()

    def stop(self) -> None:
        """Ask it to end, wait, and insist on it if need be; takes its own children along."""
        if self.process is None:
            return
        self._signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self.process.wait()
        for thread in self.threads:
            thread.join(1)
        self.process = None

    def _signal(self, number: int) -> None:
        assert self.process is not None
        with suppress(ProcessLookupError):
            if self.process.poll() is None:
                os.killpg(self.process.pid, number)

    def _relay(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        prefix = click.style(f"{self.name:<8} | ", fg=self.color)
        with process.stdout:
            for line in process.stdout:
                # A reader that has gone must not stop the children by a full pipe.
                with suppress(OSError):
                    say_colored(prefix + line.decode(errors="replace").rstrip("\n"))


def _ending(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    with suppress(ValueError):
        return f"by {signal.Signals(-code).name}"
    return f"by signal {-code}"
