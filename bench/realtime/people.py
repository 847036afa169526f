"""Who is connected, and who writes to whom."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate

import psycopg

from bench.people.plan import Plan
from marketplace_api.database.engines import Databases, make_databases
from marketplace_api.domain.community.conversations import send
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.jobs import dispatch

THREADS = 4
AT_ONCE = 50
"""Messages in one transaction, of those that only have to be there."""
SEED = 7

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Thread:
    """A conversation of two people."""

    conversation_id: int
    people: Pair


@dataclass(frozen=True, slots=True)
class Sent:
    """A message, and the moment at which its transaction was committed."""

    message_id: int
    sender: int
    receiver: int
    moment: float


def threads_among(url: str, plan: Plan, number: int) -> list[Thread]:
    """All conversations among so many people of the crowd, each of whom has one."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT conversation_id, participant1_id, participant2_id FROM conversations"
            " WHERE participant1_id >= %(first)s AND participant2_id >= %(first)s ORDER BY conversation_id",
            {"first": plan.crowd.start},
        ).fetchall()
    people: set[int] = set()
    for _number, *pair in rows:
        if len(people | set(pair)) <= number:
            people |= set(pair)
    return [Thread(conversation, (one, other)) for conversation, one, other in rows if {one, other} <= people]


def people_of(threads: Sequence[Thread]) -> list[int]:
    return sorted({person for thread in threads for person in thread.people})


class Writers:
    """Send messages as the application does, each in the transaction of its sender; jobs are queued with them."""

    def __init__(self, databases: Databases) -> None:
        self._databases = databases
        self._chance = random.Random(SEED)

    def write(self, threads: Sequence[Thread], each: int) -> None:
        """So many messages in each conversation."""
        for thread in threads:
            for _part in range(-(-each // AT_ONCE)):
                self._send(thread, thread.people, min(each, AT_ONCE))

    def write_for(self, threads: Sequence[Thread], seconds: float, per_second: float) -> list[Sent]:
        """Messages at moments drawn at random, so many a second on average, in conversations drawn at random."""
        gaps = accumulate(self._chance.expovariate(per_second) for _ in range(round(seconds * per_second)))
        plan = iter([(gap, self._chance.choice(threads), self._chance.random() < 0.5) for gap in gaps])
        began, lock, sent = time.monotonic() + 0.1, threading.Lock(), list[Sent]()

        def work() -> None:
            while True:
                with lock:
                    gap, thread, turned = next(plan, (0.0, None, False))
                if thread is None:
                    return
                time.sleep(max(0.0, began + gap - time.monotonic()))
                people = thread.people[::-1] if turned else thread.people
                message_id = self._send(thread, people)
                sent.append(Sent(message_id, *people, time.time()))

        hands = [threading.Thread(target=work) for _ in range(THREADS)]
        for hand in hands:
            hand.start()
        for hand in hands:
            hand.join()
        return sent

    def _send(self, thread: Thread, people: Pair, number: int = 1) -> int:
        sender, receiver = people
        actor = Actor(user_id=sender, roles=frozenset({"customer"}))
        message_id = 0
        with self._databases.separately(sender) as session:
            for _ in range(number):
                content = f"Is it still there? {self._chance.random()}"
                row = send.send(session, actor, content=content, conversation_id=thread.conversation_id)
                message_id = row.message_id
        assert row.receiver_id == receiver
        return message_id


@contextmanager
def writers(url: str) -> Iterator[Writers]:
    """Writers on connections of their own."""
    databases = make_databases(url, pool_size=THREADS, on_event=dispatch.dispatch)
    try:
        yield Writers(databases)
    finally:
        databases.dispose()
