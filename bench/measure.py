"""Times requests of one shape, ours and the floor's in turns, so that what else the machine does hits both."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from math import ceil
from typing import Any

import psycopg

from bench.application import WsgiApp, get, make_environ
from bench.floor import Replay, Statement, recorded

WARM_UP = 100
"""Requests before any counts: by then every cache of statements and plans is full."""
TURN_SECONDS = 0.05
FEWEST = 100
PATIENCE = 4
"""A slow shape may take so many times the wanted seconds to reach FEWEST requests."""


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds: of the wall clock, and (mean) of this process's CPU."""

    count: int
    median: float
    p99: float
    mean: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Measured:
    """One shape at one size. ``ratio`` is our median over the floor's, ``cpu_ratio`` the same of CPU time."""

    ours: Times
    floor: Times
    ratio: float
    cpu_ratio: float
    different: int
    statements: float
    answer_bytes: int

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class WrongAnswerError(RuntimeError):
    """A request that is to be measured does not work."""


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of ``values`` that at least ``share`` of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, ceil(share * len(ordered)) - 1)]


@dataclass(frozen=True, slots=True)
class Call:
    """One request that is measured; ``before`` puts things back as they were, outside the clock."""

    name: str
    ask: Callable[[], tuple[str, bytes]]
    before: Callable[[], object] | None = None

    def ready(self) -> None:
        if self.before is not None:
            self.before()


def measure(app: WsgiApp, bare: psycopg.Connection[Any], targets: Sequence[str], seconds: float) -> Measured:
    """Ask for ``targets`` over and over for about ``seconds`` each by our application and by the floor.

    Raises :class:`WrongAnswerError` where one is not answered with 200.
    """
    calls = [Call(f"GET {target}", partial(get, app, make_environ(target))) for target in targets]
    return measure_calls(calls, Replay(bare), seconds)


def measure_calls(calls: Sequence[Call], replay: Callable[[list[Statement]], bytes], seconds: float) -> Measured:
    """Make ``calls`` over and over for about ``seconds``, in turns with the floor: ``replay`` of what they sent.

    Raises :class:`WrongAnswerError` where one does not succeed.
    """
    statements, sizes = [], []
    calls[0].ready()
    calls[0].ask()  # may open a connection, whose own statements belong to no request
    for turn in range(max(1, ceil(WARM_UP / len(calls)))):
        for call in calls:
            call.ready()
            with recorded() as sent:
                status, body = call.ask()
            if not status.startswith("20"):
                raise WrongAnswerError(f"{call.name} answers {status}: {body[:300].decode(errors='replace')}")
            call.ready()
            replay(sent)
            if turn == 0:
                sizes.append(len(body))
                statements.append(list(sent))
    ours, floor = take_turns(
        lambda position: calls[position].ask(),
        lambda position: replay(statements[position]),
        len(calls),
        seconds,
        lambda position: calls[position].ready(),
    )
    return Measured(
        ours,
        floor,
        ratio=ours.median / floor.median,
        cpu_ratio=ours.cpu / max(floor.cpu, 1e-6),
        different=len({call.name for call in calls}),
        statements=sum(map(len, statements)) / len(statements),
        answer_bytes=round(sum(sizes) / len(sizes)),
    )


def take_turns(
    ours: Callable[[int], object],
    floor: Callable[[int], object],
    number: int,
    seconds: float,
    before: Callable[[int], object],
) -> tuple[Times, Times]:
    """The times of both, asked in turns for each of ``number`` positions; ``before`` each, outside the clock."""
    clocks = (_Clock(ours, number, before), _Clock(floor, number, before))
    end = time.perf_counter() + 2 * seconds
    last = time.perf_counter() + 2 * seconds * PATIENCE
    while True:
        for clock in clocks:
            clock.run(min(TURN_SECONDS, seconds))
        now = time.perf_counter()
        if now >= last or (now >= end and min(len(clock.walls) for clock in clocks) >= min(FEWEST, number)):
            return clocks[0].times(), clocks[1].times()


class _Clock:
    """Asks for one position after the other, and keeps how long each took."""

    def __init__(self, ask: Callable[[int], object], number: int, before: Callable[[int], object]) -> None:
        self._ask, self._number, self._before, self._next = ask, number, before, 0
        self.walls: list[float] = []
        self._cpu = 0.0

    def run(self, seconds: float) -> None:
        clock, cpu_clock = time.perf_counter, time.process_time
        end = clock() + seconds
        while clock() < end:
            self._before(self._next)
            cpu_began, began = cpu_clock(), clock()
            self._ask(self._next)
            ended = clock()
            self._cpu += cpu_clock() - cpu_began
            self.walls.append(ended - began)
            self._next = (self._next + 1) % self._number

    def times(self) -> Times:
        number = len(self.walls)
        return Times(
            number,
            1000 * percentile(self.walls, 0.5),
            1000 * percentile(self.walls, 0.99),
            1000 * sum(self.walls) / number,
            1000 * self._cpu / number,
        )


def statements_of(app: WsgiApp, target: str) -> list[Statement]:
    """What our application sends to the database for ``GET target``, when its caches are warm."""
    environ = make_environ(target)
    get(app, environ)
    with recorded() as sent:
        get(app, environ)
    return list(sent)
