"""The end of the log in memory: by topic, in order, each once, and no more of it than was asked for."""

from __future__ import annotations

import random

from marketplace_api.realtime.event_map import Entry
from marketplace_api.realtime.replay_buffer import ReplayBuffer


def test_it_is_the_end_of_the_log() -> None:
    chance = random.Random(7)
    names = [f"user:{number}" for number in range(5)]
    log = [Entry(number, 0.0, topics=tuple(chance.sample(names, chance.randint(0, 3)))) for number in range(1, 400)]
    recent, most = ReplayBuffer(0, 50), 50
    told, start = 0, 0
    while start < len(log):
        part = log[start : start + chance.randint(1, 30)]
        start += len(part)
        recent.add(part, part[-1].event_id)
        kept = [entry for entry in log[:start] if entry.topics][-most:]
        assert recent.head == part[-1].event_id
        assert recent.floor < kept[0].event_id or told == 0
        after = chance.randint(recent.floor, recent.head)
        topics = chance.sample(names, 2)
        wanted = [each for each in kept if each.event_id > after and not set(topics).isdisjoint(each.topics)]
        assert recent.since(after, topics) == wanted
        told += len(wanted)
        # Nothing behind the floor has been forgotten.
        assert [each for each in log[:start] if each.topics and each.event_id > recent.floor] == kept[-len(kept) :]
    assert told > 100 and recent.floor > 200
    assert len(recent._by_topic) <= len(names)
