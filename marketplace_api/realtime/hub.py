"""All open connections of this process, and what reaches them: the log, and what processes tell each other.

Everything here runs in the event loop. Whatever asks the database or speaks to other processes is sent to threads.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import Any, TypeVar
from uuid import uuid4

import structlog

from marketplace_api.database.engines import is_outage
from marketplace_api.errors import DomainError, Invalid, RateLimited, Unavailable
from marketplace_api.hal.representation import link
from marketplace_api.realtime import metrics
from marketplace_api.realtime.authorization import Authorization, Joined
from marketplace_api.realtime.clients import MOST_TOPICS, START_ANEW, Client, problem_of
from marketplace_api.realtime.event_map import CONVERSATION, Entry, topic
from marketplace_api.realtime.presence import REPEAT_SECONDS, Presence
from marketplace_api.realtime.pubsub import Signal
from marketplace_api.realtime.replay_buffer import ReplayBuffer

THREADS = 4
BEAT_SECONDS = 20.0
BEATS = 200
"""Parts in which clients get their signs of life, one after the other, in that time."""
MOST_OF_ONE = 20
"""Connections of one account to this process."""
AT_ONCE = 100

Answer = TypeVar("Answer")

log = structlog.get_logger(__name__)


class Hub:
    """``say`` tells other processes; it may block."""

    def __init__(self, channels: Authorization, recent: ReplayBuffer, say: Callable[[Signal], None]) -> None:
        self.channels, self.recent = channels, recent
        self.is_draining = False
        self.presence = Presence(uuid4().hex, self._say_later, self._presence_changed)
        self._clients: defaultdict[int, set[Client]] = defaultdict(set)
        self._by_topic: defaultdict[str, set[Client]] = defaultdict(set)
        self._watching: defaultdict[int, set[tuple[Client, str]]] = defaultdict(set)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="asking")
        self._voice = ThreadPoolExecutor(1, thread_name_prefix="saying")
        self._say = say
        self._tasks: set[asyncio.Task[Any]] = set()

    # What the other files run by.

    async def ask(self, function: Callable[..., Answer], *arguments: Any) -> Answer:
        """Run something that may block in one of a few threads."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(function, *arguments))

    async def what_failed(self, error: Exception) -> DomainError:
        """The refusal itself, and of any other error what its caller is told."""
        return error if isinstance(error, DomainError) else await self.ask(self.channels.what_failed, error)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Have something done beside what is being done."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _say_later(self, signal: Signal) -> None:
        self._voice.submit(self._say, signal)

    # Coming and going.

    async def place(self, last_id: int | None) -> int:
        """Where one who has last seen this event goes on; who says nothing begins now."""
        head = self.recent.head
        if last_id is None:
            return head
        if last_id <= head:
            return last_id
        # Another process was further, or it is an id of another log.
        return last_id if last_id <= await self.ask(self.channels.horizon) else START_ANEW

    def require_room(self, user_id: int) -> None:
        """Raises :class:`Unavailable` while the process ends, and :class:`RateLimited` for one connection too many."""
        if self.is_draining:
            raise Unavailable("This process is about to end; connect again.", retry_after=1)
        if len(self._clients.get(user_id, ())) >= MOST_OF_ONE:
            raise RateLimited(f"An account has at most {MOST_OF_ONE} open connections.", retry_after=60)

    def add(self, client: Client, joined: Sequence[Joined]) -> None:
        """A connection that is open from here on."""
        self._clients[client.user_id].add(client)
        self._by_topic[client.own_topic].add(client)
        for each in joined:
            self.follow(client, each)
        metrics.CLIENTS.labels(client.transport).inc()
        self.presence.came(client.user_id)

    def remove(self, client: Client) -> None:
        """A connection that is closed."""
        for name in list(client.topics):
            self._forget(client, name)
        _drop(self._clients, client.user_id, client)
        metrics.CLIENTS.labels(client.transport).dec()
        self.presence.went(client.user_id)

    @property
    def clients(self) -> list[Client]:
        return [client for own in self._clients.values() for client in own]

    async def join(self, client: Client, names: Sequence[str]) -> list[dict[str, Any]]:
        """Follow topics from now on; an answer for each. Raises :class:`Invalid` for more than there may be."""
        _require_topics(client, names)
        answers = await self.ask(self.channels.join, client.claims, names)
        _require_topics(client, names)  # others were asked for meanwhile
        told_of = [self.follow(client, answer) for answer in answers]
        client.wake()
        return told_of

    def follow(self, client: Client, answer: Joined | DomainError) -> dict[str, Any]:
        """Note what came of asking for a topic, and say it."""
        if isinstance(answer, DomainError):
            return {"ok": False, "error": problem_of(answer)}
        if not client.is_closed:
            client.topics[answer.topic] = answer.other_id
            self._by_topic[answer.topic].add(client)
            if answer.other_id is not None:
                self._watching[answer.other_id].add((client, answer.topic))
        said: dict[str, Any] = {"ok": True, "topic": answer.topic, "id": self.recent.head}
        return said if answer.other_id is None else {**said, "online": self.presence.is_here(answer.other_id)}

    def leave(self, client: Client, name: str) -> None:
        """Follow a topic no more; one's own account is always followed."""
        if name in client.topics and name != client.own_topic:
            self._forget(client, name)

    def _forget(self, client: Client, name: str) -> None:
        other_id = client.topics.pop(name)
        _drop(self._by_topic, name, client)
        if other_id is not None:
            _drop(self._watching, other_id, (client, name))

    # What reaches them.

    def take(self, entries: Sequence[Entry], head: int) -> None:
        """What is new in the log, up to the id ``head``."""
        self.recent.add(entries, head)
        for entry in entries:
            for name in entry.topics:
                for client in self._by_topic.get(name, ()):
                    client.wake()
            if entry.rechecks is not None:
                for client in self._clients.get(entry.rechecks, ()):
                    client.wake(recheck=True)

    def restart(self, head: int) -> None:
        """The log is another one, up to the id ``head``: everybody is told to fetch anew what they have."""
        self.recent.restart(head)
        for client in self.clients:
            client.start_anew()

    def hear(self, signal: Signal | None) -> None:
        """What a process says; ``None`` when the transport to the others is open again."""
        if signal is None:
            self.presence.ask()
            self.presence.repeat()
        elif signal.get("kind") == "typing":
            self._somebody_types(signal)
        else:
            self.presence.hear(signal)

    async def typing(self, client: Client, conversation_id: int, *, is_typing: bool) -> None:
        """Tell the other of a conversation; raises what refuses the client to write to them."""
        other_id = await self.ask(partial(self.channels.counterpart, client.claims, conversation_id, to_write=True))
        self._say_later(
            {
                "kind": "typing",
                "conversation": conversation_id,
                "user": client.user_id,
                "to": other_id,
                "typing": is_typing,
            }
        )

    def _somebody_types(self, signal: Signal) -> None:
        conversation = signal["conversation"]
        body = {
            "conversation_id": conversation,
            "user_id": signal["user"],
            "typing": signal["typing"],
            "_links": {"about": link(f"/api/conversations/{conversation}")},
        }
        for client in list(self._by_topic.get(topic(CONVERSATION, conversation), ())):
            if client.user_id == signal["to"]:
                self.spawn(self._mention(client, conversation, "typing", body))

    def _presence_changed(self, user_id: int, is_here: bool) -> None:
        for client, name in list(self._watching.get(user_id, ())):
            conversation = int(name.partition(":")[2])
            body = {
                "conversation_id": conversation,
                "user_id": user_id,
                "online": is_here,
                "_links": {"about": link(f"/api/conversations/{conversation}")},
            }
            self.spawn(self._mention(client, conversation, "presence", body))

    async def _mention(self, client: Client, conversation_id: int, name: str, body: dict[str, Any]) -> None:
        """Tell what the other of a conversation does, if that is still open to the client and they to each other."""
        try:
            asked = partial(self.channels.counterpart, client.claims, conversation_id, to_write=False)
            if await self.ask(asked) == body["user_id"]:
                await client.mention(name, body)
        except DomainError as refusal:
            log.debug("realtime.unmentioned", code=refusal.code)
        except Exception as error:
            if not is_outage(error):
                raise

    # By the clock, and the end.

    async def beat(self) -> None:
        """For ever: signs of life to other processes, and to each client in its turn. All clients at once would hold up
        what happens meanwhile: a tenth of a second for a thousand of them."""
        while True:
            clients = self.clients
            share, left = len(clients) // BEATS + 1, iter(clients)
            for _ in range(BEATS):
                await asyncio.sleep(min(BEAT_SECONDS, REPEAT_SECONDS) / BEATS)
                for client in islice(left, share):
                    self.spawn(client.beat())
            self.presence.repeat()

    async def drain(self) -> None:
        """Let everybody go: they come back to another process, or to this one once it is there again."""
        self.is_draining = True
        for number, client in enumerate(self.clients):
            self.spawn(client.interrupt("restart"))
            if number % AT_ONCE == 0:
                await asyncio.sleep(0.01)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=10)

    def stop(self) -> None:
        """After that nobody may be connected."""
        self.presence.leave()
        self._voice.shutdown()
        self._threads.shutdown(cancel_futures=True)


def _drop(places: defaultdict[Any, set[Any]], key: Any, item: Any) -> None:
    held = places.get(key)
    if held is not None:
        held.discard(item)
        if not held:
            del places[key]


def _require_topics(client: Client, more: Sequence[str]) -> None:
    if len(client.topics) + len(more) > MOST_TOPICS:
        raise Invalid(f"At most {MOST_TOPICS} topics can be followed.")
