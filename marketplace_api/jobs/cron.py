"""When a task of the schedule is due, and noticing that the clock was set. Times are UTC."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime

from croniter import croniter

LOOK_SECONDS = 5.0
JUMP_SECONDS = 60.0
"""By so much the clock is off at once only if somebody set it, or the machine slept."""


def last_due(cron: str, now: float) -> int:
    """The last time at or before ``now`` (both seconds since 1970) at which ``cron`` was due."""
    # It gives only times before the one that it is asked for.
    return int(croniter(cron, now + 1).get_prev(float))


def next_due(cron: str, now: datetime) -> datetime:
    """The next time after ``now`` (aware) at which ``cron`` is due."""
    return datetime.fromtimestamp(croniter(cron, now.timestamp()).get_next(float), UTC)


def offset() -> float:
    """What lies between the clock on the wall and the one that only runs."""
    return time.time() - time.monotonic()


async def clock_jumped(offset: Callable[[], float] = offset, every: float = LOOK_SECONDS) -> float:
    """Returns once the clock was set, forward or backward, by how many seconds."""
    before = offset()
    while True:
        await asyncio.sleep(every)
        now = offset()
        if abs(now - before) > JUMP_SECONDS:
            return now - before
        # What the time service corrects little by little adds up to no jump.
        before = now
