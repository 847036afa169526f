"""Rate limits by the library ``limits``: in memory for one process, in Redis or Valkey across many.

A store that is away lets requests through and says so in the log: a limit must never be the reason for an outage.
"""

from __future__ import annotations

import logging
import time
from contextlib import closing
from typing import Any, NamedTuple

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage, storage_from_string
from valkey import Valkey
from valkey.exceptions import AuthenticationError, ValkeyError

from marketplace_api.config.settings import Settings
from marketplace_api.errors import Unavailable

log = logging.getLogger(__name__)

# Per window: by client address (also for everyone behind one NAT) and, more narrowly, by account. They are requests,
# but for megapixels, which are what uploads cost to decode: in a minute 24 photos of 24 pass, or 12 of 48.
LIMITS = {
    "default": ("1200/minute", "600/minute"),
    "auth": ("30/minute", "30/minute"),
    "search": ("300/minute", "300/minute"),
    "write": ("120/minute", "60/minute"),
    "upload": ("60/minute", "30/minute"),
    "megapixels": ("1200/minute", "600/minute"),
    "files": ("6000/minute", "3000/minute"),
    "hooks": ("12000/minute", "12000/minute"),
    "message": ("60/minute", "30/minute"),
}
LOG_EVERY = 30.0
PAUSE = 1.0
SWEEP_EVERY = 30.0


SHARED_LIMITS_REMEDY = (
    "Set REDIS_URL to a Redis or Valkey in which all of them count, or serve with one of the workers."
)


def separate_limits(settings: Settings, processes: int) -> str | None:
    """A sentence where the ``processes`` that serve count requests each for itself; ``None`` where the limits hold."""
    if not settings.rate_limits or settings.redis_url or processes < 2:
        return None
    return (
        f"{processes} processes serve and count by themselves, so that a client may send {processes} times its limits"
    )


class Allowance(NamedTuple):
    """What is left: ``reset`` is in seconds from now."""

    limit: int
    remaining: int
    reset: int
    allowed: bool


class _Memory(MemoryStorage):
    """The library's store, swept by the requests themselves: its own way starts a thread for every 10 ms of traffic."""

    STORAGE_SCHEME = ("marketplace-memory",)  # type: ignore[assignment]
    _sweep_at = 0.0

    def _MemoryStorage__schedule_expiry(self) -> None:  # noqa: N802 - overrides the library's private method
        now = time.monotonic()
        if now >= self._sweep_at:
            self._sweep_at = now + SWEEP_EVERY
            self._MemoryStorage__expire_events()  # type: ignore[attr-defined]


class Limiter:
    """Counts requests per group and subject in fixed windows; ``multiplier`` scales every limit."""

    def __init__(self, url: str, multiplier: int = 1) -> None:
        options = {"socket_timeout": 0.2, "socket_connect_timeout": 0.2}
        self._storage: Any = storage_from_string(with_scheme(url), **options) if url else _Memory()
        self._items: dict[str, tuple[RateLimitItem, RateLimitItem]] = {
            group: (_scaled(address, multiplier), _scaled(account, multiplier))
            for group, (address, account) in LIMITS.items()
        }
        self._silent_until = 0.0
        self._away_until = 0.0

    def hit(self, group: str, subject: str, *, account: bool, cost: int = 1) -> Allowance | None:
        """Count one request, or so much; ``None`` when the store is away (the request passes)."""
        if time.monotonic() < self._away_until:
            return None
        item = self._items[group][1 if account else 0]
        key = f"marketplace-limit/{group}/{subject}"
        try:
            used = self._storage.incr(key, item.get_expiry(), cost)
            expires = self._storage.get_expiry(key)
        except Exception as error:  # whatever the store's client raises, the request must pass
            self._report(error)
            return None
        reset = max(0, round(expires - time.time()))
        return Allowance(item.amount, max(0, item.amount - used), reset, used <= item.amount)

    def ping(self) -> bool:
        return bool(self._storage.check())

    def _report(self, error: Exception) -> None:
        now = time.monotonic()
        self._away_until = now + PAUSE  # not every request needs to wait for the same dead server
        if now >= self._silent_until:
            self._silent_until = now + LOG_EVERY
            log.warning(
                "rate limit store unavailable, requests pass unlimited", extra={"error_type": type(error).__name__}
            )


def check_store(url: str) -> None:
    """Return if the store at ``url`` answers and lets us in.

    Raises :class:`marketplace_api.errors.Unavailable`: what is in the way, a colon, what to set.
    """
    try:
        with closing(Valkey.from_url(with_scheme(url), socket_timeout=2, socket_connect_timeout=2)) as store:
            store.ping()
    except AuthenticationError:
        raise Unavailable(
            "Redis refuses our password, so requests pass unlimited: mend it in REDIS_URL (redis://:password@host:6379/0)"
        ) from None
    except (ValkeyError, OSError, ValueError) as error:
        raise Unavailable(
            f"Redis does not answer ({type(error).__name__}), so requests pass unlimited: mend REDIS_URL, or start the server"
        ) from None


def _scaled(text: str, multiplier: int) -> RateLimitItem:
    item = parse(text)
    return type(item)(item.amount * multiplier, item.multiples)


def with_scheme(url: str) -> str:
    """``limits`` needs the client that we ship: valkey-py, which talks to Redis as well."""
    return url.replace("redis://", "valkey://", 1).replace("rediss://", "valkeys://", 1)
