"""Who is who in a database of so many messages: the crowd, and those whose lists are long or short on purpose."""

from __future__ import annotations

import random
from dataclasses import dataclass

SIZES = (10_000, 1_000_000)
"""Numbers of messages."""

BUSY_CONVERSATIONS = 1_000
QUIET_CONVERSATIONS = QUIET_MESSAGES = 10
BOOKMARKS = 1_000
POPULAR_REVIEWS = 300
FEWEST_USERS = 2_000

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Plan:
    """The people of a database with ``size`` messages, by ranges of ids."""

    size: int

    @property
    def users(self) -> int:
        return FEWEST_USERS + self.size // 20

    @property
    def busy(self) -> range:
        """Each has ``busy_conversations`` conversations, and ``bookmarks`` bookmarks."""
        return range(1, 1 + max(1, self.size // 50_000))

    @property
    def quiet(self) -> range:
        """Each has ten conversations of ten messages, and ten bookmarks."""
        return range(self.busy.stop, self.busy.stop + max(1, self.size // 2_000))

    @property
    def talkers(self) -> range:
        """Two by two they have a conversation of ``long`` messages."""
        return range(self.quiet.stop, self.quiet.stop + 2 * max(1, self.size // 300_000))

    @property
    def crowd(self) -> range:
        """All others."""
        return range(self.talkers.stop, 1 + self.users)

    @property
    def busy_conversations(self) -> int:
        return min(BUSY_CONVERSATIONS, self.size // 10)

    @property
    def long(self) -> int:
        return self.size // 10

    @property
    def listings(self) -> int:
        return 50 + self.size // 50

    @property
    def bookmarks(self) -> int:
        return min(BOOKMARKS, self.listings // 2)

    @property
    def popular(self) -> range:
        """Listings with ``popular_reviews`` reviews each."""
        return range(1, 1 + max(1, self.listings // 100))

    @property
    def popular_reviews(self) -> int:
        return min(POPULAR_REVIEWS, len(self.crowd) // 3)


def conversations(plan: Plan, seed: int) -> dict[Pair, int]:
    """Every conversation of the plan with its number of messages, which come to ``plan.size``."""
    chance = random.Random(f"conversations {seed}")
    found: dict[Pair, int] = {}
    for first in plan.talkers[::2]:
        found[first, first + 1] = plan.long
    for one in plan.busy:
        for other in chance.sample(plan.crowd, plan.busy_conversations):
            found[one, other] = 1 + int(chance.expovariate(0.7))
    for one in plan.quiet:
        for other in chance.sample(plan.crowd, QUIET_CONVERSATIONS):
            found[one, other] = QUIET_MESSAGES
    left = plan.size - sum(found.values())
    while left > 0:
        one, other = chance.choice(plan.crowd), chance.choice(plan.crowd)
        pair = (min(one, other), max(one, other))
        if one != other and pair not in found:
            found[pair] = min(left, 1 + int(chance.expovariate(0.12)))
            left -= found[pair]
    return found
