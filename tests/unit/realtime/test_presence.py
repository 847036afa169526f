"""Who is there, as processes tell each other: also when they fall silent, and when something was not heard."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from marketplace_api.realtime.presence import CHUNK, FORGET_SECONDS, Presence


class Network:
    """Processes that hear each other, except for what ``is_deaf`` leaves out."""

    def __init__(self) -> None:
        self.now = 0.0
        self.processes: dict[str, Presence] = {}
        self.told: dict[str, dict[int, bool]] = {}
        self.is_deaf: Callable[[Mapping[str, Any]], bool] = lambda _signal: False

    def process(self, name: str) -> Presence:
        told = self.told[name] = {}
        self.processes[name] = Presence(name, self._say, told.__setitem__, lambda: self.now)
        return self.processes[name]

    def _say(self, signal: Mapping[str, Any]) -> None:
        if not self.is_deaf(signal):
            for presence in list(self.processes.values()):
                presence.hear(signal)


def test_who_comes_and_goes_is_told_once_wherever_they_are() -> None:
    network = Network()
    one, two = network.process("one"), network.process("two")
    one.came(7)
    two.came(7)
    one.came(7)
    assert network.told == {"one": {7: True}, "two": {7: True}}
    one.went(7)
    one.went(7)
    assert one.is_here(7) and network.told["two"] == {7: True}
    two.went(7)
    assert not one.is_here(7)
    assert network.told == {"one": {7: False}, "two": {7: False}}


def test_a_process_that_comes_late_asks_and_one_that_goes_takes_its_own_along() -> None:
    network = Network()
    one = network.process("one")
    for user in range(1, CHUNK + 2):
        one.came(user)
    two = network.process("two")
    assert not two.is_here(1)
    two.ask()
    assert two.is_here(1) and two.is_here(CHUNK + 1)
    one.leave()
    assert not two.is_here(1) and network.told["two"][CHUNK + 1] is False


def test_what_was_not_heard_is_made_up_for_and_the_silent_are_forgotten() -> None:
    network = Network()
    one, two = network.process("one"), network.process("two")
    for user in (1, 2, 3):
        one.came(user)
    network.is_deaf = lambda signal: signal["kind"] == "went"
    one.went(2)
    assert two.is_here(2)
    one.repeat()
    assert [two.is_here(user) for user in (1, 2, 3)] == [True, False, True]
    network.is_deaf = lambda signal: signal["process"] == "one"
    network.now = FORGET_SECONDS + 1
    two.repeat()
    assert not two.is_here(1) and network.told["two"] == {1: False, 2: False, 3: False}
