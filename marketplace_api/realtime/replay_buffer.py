"""The latest entries of the log, in memory: what is new and what somebody missed are read from here alike."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Sequence

from marketplace_api.realtime.event_map import Entry


class ReplayBuffer:
    """Entries by topic, in the order of their ids: all those behind ``floor`` and up to ``head``.

    Both are ids of events. At most ``most`` entries are kept; as old ones go, the floor rises.
    """

    def __init__(self, floor: int, most: int) -> None:
        self.floor = self.head = floor
        self._most = most
        self._entries: deque[Entry] = deque()
        self._by_topic: defaultdict[str, deque[Entry]] = defaultdict(deque)

    def add(self, entries: Sequence[Entry], head: int) -> None:
        """Entries behind the head, by id, with which everything up to the new ``head`` is known."""
        for entry in entries:
            if entry.topics:
                self._entries.append(entry)
                for topic in entry.topics:
                    self._by_topic[topic].append(entry)
        self.head = max(self.head, head)
        while len(self._entries) > self._most:
            self._forget(self._entries.popleft())

    def restart(self, head: int) -> None:
        """Forget everything: the log is another one, and known up to ``head``."""
        self._entries.clear()
        self._by_topic.clear()
        self.floor = self.head = head

    def _forget(self, entry: Entry) -> None:
        self.floor = entry.event_id
        for topic in entry.topics:
            # All go in the order in which they came, so it is the first of each of its topics.
            of_topic = self._by_topic[topic]
            of_topic.popleft()
            if not of_topic:
                del self._by_topic[topic]

    def since(self, event_id: int, topics: Collection[str]) -> list[Entry]:
        """The entries behind an id on any of the topics, each once, by id. What it costs depends on how many those are,
        not on how many are kept."""
        found: dict[int, Entry] = {}
        for topic in topics:
            for entry in reversed(self._by_topic.get(topic, ())):
                if entry.event_id <= event_id:
                    break
                found[entry.event_id] = entry
        return [found[number] for number in sorted(found)]
