"""One open connection: what it follows, how far it has come in the log, and how it is brought up to date.

What is new and what was missed are the same to it: entries behind the last id that it was brought to. Each goes out after
the caller's permission was asked once more, in the order of the ids; while one waits for the client to take it, nothing is
queued behind it.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

import structlog

from marketplace_api.database.engines import is_outage
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.kernel.tokens import AccessClaims
from marketplace_api.errors import DomainError, RateLimited, Unauthenticated
from marketplace_api.hal.problems import problem
from marketplace_api.realtime import metrics
from marketplace_api.realtime.authorization import Authorization, is_over
from marketplace_api.realtime.event_map import USER, Entry, topic
from marketplace_api.realtime.replay_buffer import ReplayBuffer

CHUNK = 50
"""Entries that are looked at in one go."""
WARN_SECONDS = 60
LONGEST_PAUSE_SECONDS = 5.0
MOST_TOPICS = 50
REQUESTS, REQUEST_SECONDS = 40, 10.0
"""So many requests of a client's in so many seconds."""
START_ANEW = -1
"""The place of one who missed more than is kept."""

Answer = TypeVar("Answer")

log = structlog.get_logger(__name__)


class Home(Protocol):
    """What a connection asks of the process that it is open to: the ``Hub``."""

    channels: Authorization
    recent: ReplayBuffer

    async def ask(self, function: Callable[..., Answer], *arguments: Any) -> Answer: ...

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None: ...

    def leave(self, client: Client, name: str) -> None: ...

    def remove(self, client: Client) -> None: ...


class Lost(Exception):
    """The connection is not there any more, or takes nothing."""


class Client(ABC):
    """A connection of the account ``claims`` speak of; ``cursor`` is the id of the last event that it has seen."""

    transport: str

    def __init__(self, hub: Home, claims: AccessClaims, actor: Actor, cursor: int) -> None:
        self.hub, self.claims, self.actor, self.cursor = hub, claims, actor, cursor
        self.user_id = claims.user_id
        self.own_topic = topic(USER, self.user_id)
        self.topics: dict[str, int | None] = {self.own_topic: None}
        self.began = time.time()
        self.is_closed = False
        self._is_ready = self._pumping = self._woken = self._recheck = self._is_astray = False
        self._recount = True
        self._timers: list[asyncio.TimerHandle] = []
        self._requests: list[float] = []

    @abstractmethod
    async def transmit(self, name: str, body: dict[str, Any], *, position: int | None) -> None:
        """Send one event and wait until there is room for the next; ``position`` is the id to come back with, where that
        is a new one. Raises :class:`Lost`."""

    @abstractmethod
    async def close(self, *, come_back: bool) -> None:
        """End the connection; the client may ``come_back`` by itself or has to do something about it first."""

    def start(self, body: dict[str, Any]) -> None:
        """Tell that it is open, with ``body``, and bring it up to date."""
        self._watch_token()
        self.hub.spawn(self._begin(body))

    async def _begin(self, body: dict[str, Any]) -> None:
        try:
            await self.transmit("ready", body, position=None)
        except Lost:
            await self.interrupt("lost")
            return
        self._is_ready = True
        self.wake()

    def wake(self, *, recheck: bool = False) -> None:
        """There may be something new."""
        self._woken = True
        self._recheck |= recheck
        if self._is_ready and not self._pumping and not self.is_closed:
            self._pumping = True
            self.hub.spawn(self._pump())

    def start_anew(self) -> None:
        """What it has seen stands for nothing any more."""
        # Not by its place: what is being sent at this moment would move that on.
        self._is_astray = True
        self.wake(recheck=True)

    async def _pump(self) -> None:
        pause = 0.2
        try:
            while self._woken and not self.is_closed:
                self._woken = False
                try:
                    await self._catch_up()
                    pause = 0.2
                except Exception as error:
                    if isinstance(error, Lost | DomainError) or not is_outage(error):
                        raise
                    self._woken = True
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
        except Lost:
            await self.interrupt("lost")
        except Unauthenticated as refusal:
            await self.end(refusal)
        except Exception as error:
            if await self.hub.ask(self.hub.channels.misfit, error) is None:
                log.exception("realtime.crash")
            await self.interrupt("crash")
        finally:
            self._pumping = False

    async def _catch_up(self) -> None:
        recent = self.hub.recent
        if self._is_astray or self.cursor < recent.floor:
            self.cursor, self._recount, self._is_astray = recent.head, True, False
            metrics.RESETS.inc()
            await self.transmit("reset", {"id": self.cursor}, position=self.cursor)
        head, pending = recent.head, recent.since(self.cursor, self.topics)
        if self._recheck and not pending:
            await self.hub.ask(self.hub.channels.look, self.claims, ())
        self._recheck = False
        for chunk in _chunks(pending):
            seen = await self.hub.ask(self.hub.channels.look, self.claims, chunk)
            self.actor = seen.actor
            for entry, push in zip(chunk, seen.pushes, strict=True):
                await self._deliver(entry, push)
        self.cursor = max(self.cursor, head)
        if self._recount:
            self._recount = False
            totals = await self.hub.ask(self.hub.channels.unread, self.claims)
            await self.transmit("unread.changed", {"id": self.cursor, **totals}, position=self.cursor)

    async def _deliver(self, entry: Entry, push: Any) -> None:
        self._recount |= self.user_id in entry.recounts
        if isinstance(push, DomainError):
            name = topic(entry.place, entry.place_id)
            if name in self.topics and is_over(push):
                self.hub.leave(self, name)
                body = {"id": entry.event_id, "topic": name, "error": problem_of(push)}
                await self.transmit("subscription.ended", body, position=entry.event_id)
        elif push is not None:
            name, body = push
            await self.transmit(name, body, position=entry.event_id)
            metrics.PUSHES.labels(name).inc()
            if entry.recorded >= self.began:
                metrics.LAG.observe(max(0.0, time.time() - entry.recorded))
        self.cursor = entry.event_id

    async def mention(self, name: str, body: dict[str, Any]) -> None:
        """Send something that has no place in the log; lost if the client does not take it."""
        try:
            await self.transmit(name, body, position=None)
            metrics.PUSHES.labels(name).inc()
        except Lost:
            await self.interrupt("lost")

    async def beat(self) -> None:
        """Let it know how far the log has come, so that who hears nothing for long is not away for long."""
        if self._is_ready and not self._pumping:
            self.cursor = max(self.cursor, self.hub.recent.head)
            try:
                await self.transmit("position", {"id": self.cursor}, position=self.cursor)
            except Lost:
                await self.interrupt("lost")

    def renew(self, claims: AccessClaims, actor: Actor) -> None:
        """A new token for the same account."""
        self.claims, self.actor = claims, actor
        self._watch_token()

    def admit_request(self) -> None:
        """Count something that the client asks for; raises :class:`RateLimited`."""
        now = time.monotonic()
        self._requests = [moment for moment in self._requests if now - moment < REQUEST_SECONDS]
        if len(self._requests) >= REQUESTS:
            raise RateLimited(f"At most {REQUESTS} requests in {REQUEST_SECONDS:.0f} seconds.", retry_after=10)
        self._requests.append(now)

    async def end(self, refusal: DomainError) -> None:
        """Say why, and close: the caller has to do something about it first."""
        if self.is_closed:
            return
        metrics.ENDED.labels(refusal.code).inc()
        try:
            await self.transmit("ended", problem_of(refusal), position=None)
        except Lost:
            log.info("realtime.end_unsaid", user_id=self.user_id)
        await self._finish(come_back=False)

    async def interrupt(self, reason: str) -> None:
        """Close for reasons of ours: the client comes back by itself and misses nothing."""
        if not self.is_closed:
            metrics.ENDED.labels(reason).inc()
            await self._finish(come_back=True)

    async def _finish(self, *, come_back: bool) -> None:
        self.gone()
        await self.close(come_back=come_back)

    def gone(self) -> None:
        """It is closed, whoever did it."""
        if not self.is_closed:
            self.is_closed = True
            for timer in self._timers:
                timer.cancel()
            self.hub.remove(self)

    def _watch_token(self) -> None:
        for timer in self._timers:
            timer.cancel()
        left = (self.claims.expires_at - datetime.now(UTC)).total_seconds()
        loop = asyncio.get_running_loop()
        self._timers = [
            loop.call_later(max(0.0, left - min(WARN_SECONDS, left / 2)), self._warn),
            loop.call_later(max(0.0, left), self._expire),
        ]

    def _warn(self) -> None:
        moment = self.claims.expires_at.isoformat()
        self.hub.spawn(self.mention("token.expiring", {"expires_at": moment}))

    def _expire(self) -> None:
        refusal = Unauthenticated("The access token has expired; connect with a new one.", "token_expired")
        self.hub.spawn(self.end(refusal))


def problem_of(error: DomainError) -> dict[str, Any]:
    """The problem document of a refusal."""
    return problem(error, None)[1]


def _chunks(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    for first in range(0, len(entries), CHUNK):
        yield entries[first : first + CHUNK]
