"""The thread that follows the log and hands what is new to the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from marketplace_api.database.engines import Databases
from marketplace_api.domain.eventlog import feed
from marketplace_api.errors import Conflict
from marketplace_api.realtime import metrics
from marketplace_api.realtime.event_map import Entry, entry_of

REST_SECONDS = 0.02
"""Between two looks at a log that grows: what somebody waits for at most, and what a look costs is a millisecond."""
PAUSE_SECONDS = 5.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Following:
    """Whom the follower tells: ``take`` the entries of a part of the log and the id of its end, ``restart`` the id from
    which it goes on in a log that is another one, because the database was restored. ``misfit`` knows whether an error
    comes of a schema that does not fit, which stands in the log already."""

    take: Callable[[Sequence[Entry], int], None]
    restart: Callable[[int], None]
    misfit: Callable[[BaseException], str | None]


class Follower:
    """Tells the others in ``loop`` of each part of the log behind the id ``after``."""

    def __init__(self, databases: Databases, loop: asyncio.AbstractEventLoop, after: int, following: Following) -> None:
        self._databases, self._loop, self._tell_of = databases, loop, following
        self._last = after
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)
        self.is_following = False

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(2 * feed.POLL_SECONDS)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._follow()
            except Conflict as error:
                self._last = int(error.extra["newest_event_id"])
                log.warning("realtime.log_restored", head=self._last)
                self._loop.call_soon_threadsafe(self._tell_of.restart, self._last)
            except Exception as error:
                self._note(is_following=False)
                if self._tell_of.misfit(error) is None:
                    log.exception("realtime.follower_crash")
                self._stopping.wait(PAUSE_SECONDS)

    def _follow(self) -> None:
        self._note(is_following=True)
        for rows in feed.follow(self._databases, self._last, self._tell, REST_SECONDS):
            if self._stopping.is_set():
                return
            if rows:
                entries = [entry for row in rows if (entry := entry_of(row)) is not None]
                self._last = rows[-1].event_id
                self._loop.call_soon_threadsafe(self._tell_of.take, entries, self._last)

    def _tell(self, sentence: str) -> None:
        self._note(is_following="back" in sentence)
        log.warning("realtime.follower", told=sentence)

    def _note(self, *, is_following: bool) -> None:
        self.is_following = is_following
        metrics.FOLLOWING.set(is_following)
