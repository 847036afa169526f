"""What the service works with and can do without for a while: storage, Redis, disk, mail, a replica.

A neighbour that is away takes something away, uploads or a limit, and never the whole service: a proxy that removed
every machine because of it would make a small outage a large one. So none of them decides whether a process is ready.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
import structlog

from marketplace_api.config.settings import Settings
from marketplace_api.database.engines import Databases, is_outage
from marketplace_api.domain.operations.health import OK
from marketplace_api.errors import Unavailable
from marketplace_api.gateways.email import SmtpMailer
from marketplace_api.gateways.rate_limiter import Limiter
from marketplace_api.gateways.storage import Storage

NOT_CONFIGURED = "not configured"
SILENT = "does not answer"
WAIT_SECONDS = 1.5
"""How long all of them together may take to answer; a proxy waits for readiness for three seconds."""
MAIL_EVERY = 60.0
MAIL_SECONDS = 5.0
LEAST_FREE = 0.05
"""The share of the disk below which it counts as full."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Check:
    """How to find out the state of a neighbour: ``ok``, ``not configured``, or what is wrong, in words without secrets.

    ``ask`` may raise :class:`Unavailable`. An answer is good for ``every`` seconds.
    """

    ask: Callable[[], str]
    every: float = 0.0


class Neighbours:
    """Asks all neighbours at once, each in a thread of its own, and waits for none of them for long.

    One that does not answer keeps the one thread that waits for it, however often it is asked for.
    """

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._probes = {name: _Probe(name, check) for name, check in checks.items()}

    def begin(self) -> Callable[[], dict[str, str]]:
        """Start to ask; what is returned waits for the rest of :data:`WAIT_SECONDS` and tells the states by name."""
        until = time.monotonic() + WAIT_SECONDS
        for probe in self._probes.values():
            probe.begin()
        return lambda: {name: probe.state(until) for name, probe in self._probes.items()}

    def states(self) -> dict[str, str]:
        """The states by name, as of now."""
        return self.begin()()


def degraded(states: Mapping[str, str]) -> list[str]:
    """The names of those that are configured and not well."""
    return [name for name, state in states.items() if state not in (OK, NOT_CONFIGURED)]


class _Probe:
    def __init__(self, name: str, check: Check) -> None:
        self._name, self._check = name, check
        self._lock = threading.Lock()
        self._answered = threading.Event()
        self._is_asking = False
        self._state, self._fresh_until = SILENT, 0.0

    def begin(self) -> None:
        with self._lock:
            if self._is_asking or time.monotonic() < self._fresh_until:
                return
            self._is_asking = True
            self._answered.clear()
        # A daemon: nobody waits for it at the end of the process.
        threading.Thread(target=self._ask, name=f"neighbour-{self._name}", daemon=True).start()

    def state(self, until: float) -> str:
        return self._state if self._answered.wait(max(0.0, until - time.monotonic())) else SILENT

    def _ask(self) -> None:
        try:
            state = self._check.ask()
        except Unavailable as error:
            state = error.detail
        except Exception:
            log.exception("neighbour.unknown", check=self._name)
            state = "cannot be asked"
        with self._lock:
            self._state, self._fresh_until = state, time.monotonic() + self._check.every
            self._is_asking = False
            self._answered.set()


def storage_state(storage: Storage) -> str:
    """Whether files can be written and read."""
    storage.check()
    return OK


def redis_state(limiter: Limiter | None, url: str) -> str:
    """Whether the rate limits of all processes meet."""
    if limiter is None or not url:
        return NOT_CONFIGURED
    return OK if limiter.ping() else "unavailable"


def disk_state(folder: Path) -> str:
    """Whether the disk of ``folder`` has room."""
    try:
        space = shutil.disk_usage(folder)
    except OSError as error:
        return f"cannot be looked at ({error.strerror})"
    return OK if space.free >= LEAST_FREE * space.total else f"{space.free / space.total:.1%} free"


def mail_state(settings: Settings) -> str:
    """Whether the mail server lets us in; nothing is sent. Why it does not, with its address, is for the doctor to say."""
    if settings.email_backend != "smtp":
        return NOT_CONFIGURED
    try:
        SmtpMailer.from_url(settings.smtp_url, timeout=MAIL_SECONDS).check()
    except Unavailable:
        return "unavailable"
    return OK


def replica_state(databases: Databases) -> str:
    """Whether the replica answers, where there is one."""
    if not databases.has_replica:
        return NOT_CONFIGURED
    try:
        with databases.read.connect() as connection:
            connection.execute(sa.text("SELECT 1"))
    except (sa.exc.DBAPIError, sa.exc.TimeoutError) as error:
        if not is_outage(error):
            raise
        return "unavailable"
    return OK
