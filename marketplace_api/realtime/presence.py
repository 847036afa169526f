"""Who is there: the accounts with an open connection to any process, as far as those tell each other.

Each process says who comes and goes, and every now and then who of its own is there; what a process that has gone
silent said counts no more. Nothing of this is stored.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from marketplace_api.database.base import BIGINT_MAX
from marketplace_api.realtime.pubsub import Signal

REPEAT_SECONDS = 20.0
FORGET_SECONDS = 3 * REPEAT_SECONDS
CHUNK = 300
"""Ids in one signal: of 19 digits each at most."""

Say = Callable[[Signal], None]
Changed = Callable[[int, bool], None]


class Presence:
    """What this process knows; ``say`` tells the others, ``changed`` is called with an account and whether it is there.

    To be used in one thread.
    """

    def __init__(self, process: str, say: Say, changed: Changed, clock: Callable[[], float] = time.monotonic) -> None:
        self._process, self._say, self._changed, self._clock = process, say, changed, clock
        self._own: Counter[int] = Counter()
        self._elsewhere: dict[str, tuple[float, set[int]]] = {}
        self._told: set[int] = set()

    def is_here(self, user_id: int) -> bool:
        """Whether the account has an open connection anywhere."""
        return user_id in self._own or any(user_id in users for _, users in self._elsewhere.values())

    def came(self, user_id: int) -> None:
        """One more connection of an account."""
        self._own[user_id] += 1
        if self._own[user_id] == 1:
            self._say({"kind": "came", "process": self._process, "users": [user_id]})
            self._tell([user_id])

    def went(self, user_id: int) -> None:
        """One connection less."""
        self._own[user_id] -= 1
        if self._own[user_id] <= 0:
            del self._own[user_id]
            self._say({"kind": "went", "process": self._process, "users": [user_id]})
            self._tell([user_id])

    def ask(self) -> None:
        """Have the others say at once who is there."""
        self._say({"kind": "who", "process": self._process})

    def repeat(self) -> None:
        """Say who is here, and forget those who have not said so for long."""
        low = 0
        for users in _chunks(sorted(self._own)):
            high = users[-1] if len(users) == CHUNK else BIGINT_MAX
            self._say({"kind": "here", "process": self._process, "users": users, "low": low, "high": high})
            low = high + 1
        silent = [name for name, (heard, _) in self._elsewhere.items() if self._clock() - heard > FORGET_SECONDS]
        self._tell(user for name in silent for user in self._elsewhere.pop(name)[1])

    def leave(self) -> None:
        """This process ends: nobody is here any more."""
        self._say({"kind": "left", "process": self._process})

    def hear(self, signal: Signal) -> None:
        """What another process says about who is there."""
        process, kind = str(signal.get("process")), signal.get("kind")
        if process == self._process:
            return
        if kind == "who":
            self.repeat()
            return
        if kind == "left":
            self._tell(self._elsewhere.pop(process, (0, set()))[1])
            return
        users = set(signal["users"])
        _, known = self._elsewhere.setdefault(process, (0, set()))
        gone = users if kind == "went" else set()
        if kind == "here":
            # All of its own between two ids: also who went unheard.
            gone = {user for user in known - users if signal["low"] <= user <= signal["high"]}
        known -= gone
        known |= users - gone
        self._elsewhere[process] = (self._clock(), known)
        self._tell(users | gone)

    def _tell(self, users: Iterable[int]) -> None:
        for user_id in list(users):
            is_here = self.is_here(user_id)
            if is_here != (user_id in self._told):
                (self._told.add if is_here else self._told.discard)(user_id)
                self._changed(user_id, is_here)


def _chunks(users: Sequence[int]) -> Iterator[Sequence[int]]:
    for first in range(0, len(users), CHUNK):
        yield users[first : first + CHUNK]
