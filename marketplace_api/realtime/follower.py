"""The thread that follows the log and hands what is new to the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence

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

Take = Callable[[Sequence[Entry], int], None]
Restart = Callable[[int], None]


class Follower:
    """Calls ``take`` in ``loop`` with the entries of each part of the log behind the id ``after``, and the id of its end;
    and ``restart`` with the id from which it goes on in a log that is another one, because the database was restored."""

    def __init__(
        self, databases: Databases, loop: asyncio.AbstractEventLoop, after: int, take: Take, restart: Restart
    ) -> None:
        self._databases, self._loop, self._take, self._restart = databases, loop, take, restart
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
                self._loop.call_soon_threadsafe(self._restart, self._last)
            except Exception:
                self._note(is_following=False)
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
                self._loop.call_soon_threadsafe(self._take, entries, self._last)

    def _tell(self, sentence: str) -> None:
        self._note(is_following="back" in sentence)
        log.warning("realtime.follower", told=sentence)

    def _note(self, *, is_following: bool) -> None:
        self.is_following = is_following
        metrics.FOLLOWING.set(is_following)
