"""Rate limits: in memory for one process, by the library ``limits`` in Redis or Valkey across many.

A store that is away lets requests through and says so in the log: a limit must never be the reason for an outage.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any, NamedTuple

from limits import parse
from limits.storage import storage_from_string

log = logging.getLogger(__name__)

# Requests per window: by client address (also for everyone behind one NAT) and, more narrowly, by account.
LIMITS = {
    "default": ("1200/minute", "600/minute"),
    "auth": ("30/minute", "30/minute"),
    "search": ("300/minute", "300/minute"),
    "write": ("120/minute", "60/minute"),
    "upload": ("60/minute", "30/minute"),
    "files": ("6000/minute", "3000/minute"),
    "message": ("60/minute", "30/minute"),
}
LOG_EVERY = 30.0
PAUSE = 1.0
SWEEP_EVERY = 30.0


class Allowance(NamedTuple):
    """What is left: ``reset`` is in seconds from now."""

    limit: int
    remaining: int
    reset: int
    allowed: bool


_NEVER = (0, 0.0)


class _Memory:
    """Windows of this process alone, swept by the requests that begin new ones.

    The library has such a store too, at 6 % of a cheap request and with a thread that sweeps every 10 ms.
    """

    def __init__(self) -> None:
        self._windows: dict[str, tuple[int, float]] = {}
        self._lock = threading.Lock()
        self._sweep_at = 0.0

    def count(self, key: str, seconds: int) -> tuple[int, float]:
        now = time.time()
        with self._lock:
            used, expires = self._windows.get(key, _NEVER)
            if expires <= now:
                self._sweep(now)
                used, expires = 0, now + seconds
            self._windows[key] = used + 1, expires
        return used + 1, expires

    def _sweep(self, now: float) -> None:
        if now >= self._sweep_at:
            self._sweep_at = now + SWEEP_EVERY
            self._windows = {key: window for key, window in self._windows.items() if window[1] > now}

    def check(self) -> bool:
        return True


class _Shared:
    """Windows that many processes count in, by the library's store for ``url``."""

    def __init__(self, url: str) -> None:
        options: dict[str, Any] = {"socket_timeout": 0.2, "socket_connect_timeout": 0.2}
        self._storage: Any = storage_from_string(_with_scheme(url), **options)

    def count(self, key: str, seconds: int) -> tuple[int, float]:
        return self._storage.incr(key, seconds), self._storage.get_expiry(key)

    def check(self) -> bool:
        return bool(self._storage.check())


class Limiter:
    """Counts requests per group and subject in fixed windows; ``multiplier`` scales every limit."""

    def __init__(self, url: str, multiplier: int = 1) -> None:
        self._store = _Shared(url) if url else _Memory()
        self._limits = {
            group: (_scaled(address, multiplier), _scaled(account, multiplier))
            for group, (address, account) in LIMITS.items()
        }
        self._silent_until = 0.0
        self._away_until = 0.0

    def hit(self, group: str, subject: str, *, account: bool) -> Allowance | None:
        """Count one request; ``None`` when the store is away (the request passes)."""
        if time.monotonic() < self._away_until:
            return None
        most, seconds = self._limits[group][1 if account else 0]
        key = f"marketplace-limit/{group}/{subject}"
        try:
            used, expires = self._store.count(key, seconds)
        except Exception as error:  # whatever the store's client raises, the request must pass
            self._report(error)
            return None
        reset = max(0, round(expires - time.time()))
        return Allowance(most, max(0, most - used), reset, used <= most)

    def ping(self) -> bool:
        return self._store.check()

    def _report(self, error: Exception) -> None:
        now = time.monotonic()
        self._away_until = now + PAUSE  # not every request needs to wait for the same dead server
        if now >= self._silent_until:
            self._silent_until = now + LOG_EVERY
            log.warning(
                "rate limit store unavailable, requests pass unlimited", extra={"error_type": type(error).__name__}
            )


def _scaled(text: str, multiplier: int) -> tuple[int, int]:
    """How many requests in how many seconds."""
    item = parse(text)
    return item.amount * multiplier, item.get_expiry()


def _with_scheme(url: str) -> str:
    """``limits`` needs the client that we ship: valkey-py, which talks to Redis as well."""
    return url.replace("redis://", "valkey://", 1).replace("rediss://", "valkeys://", 1)
