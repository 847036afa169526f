"""Measures the shapes of :mod:`bench.people.shapes`, and what it costs to know who calls."""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import psycopg

from bench import application, floor, measure
from bench.people import shapes
from bench.people.callers import Callers
from bench.people.plan import Plan
from bench.shapes import VALUES
from marketplace_api.database.engines import Databases

TABLES = (
    "users",
    "sessions",
    "listings",
    "conversations",
    "conversation_sides",
    "inboxes",
    "messages",
    "bookmarks",
    "reviews",
    "notifications",
)
TOKENS = 300


class People:
    """One database with so many messages, the application on it, and a bare connection."""

    def __init__(self, size: int, app: application.WsgiApp, bare: psycopg.Connection[Any]) -> None:
        self.plan, self.callers, self.bare = Plan(size), Callers(app), bare
        self._drawn: dict[tuple[str, int], Sequence[shapes.Request]] = {}

    def shape(self, shape: shapes.Shape, seconds: float, values: int = VALUES) -> measure.Measured:
        """Raises ``WrongAnswerError`` where a request does not succeed."""
        drawn = self._requests(shape, values)
        replay = floor.WriteReplay(self.bare) if shape.writes else floor.Replay(self.bare)
        gc.collect()
        return measure.measure_calls([self._call(request) for request in drawn], replay, seconds)

    def policies(self, shape: shapes.Shape, seconds: float, values: int = VALUES) -> dict[str, Any]:
        """The same requests on the application's connections and on the owner's, whom no policy binds, in turns;
        milliseconds, and the ratio of the medians."""
        drawn = [self._call(request) for request in self._requests(shape, values)]
        registry = self.callers.app.registry  # type: ignore[attr-defined]
        bound = registry.databases
        free = application.unbound(bound)

        def ask(databases: Databases, place: int) -> None:
            registry.databases = databases
            drawn[place].ask()

        try:
            for place in [*range(len(drawn))] * 2:
                for databases in (bound, free):
                    drawn[place].ready()
                    ask(databases, place)
            gc.collect()
            on, off = measure.take_turns(
                lambda place: ask(bound, place),
                lambda place: ask(free, place),
                len(drawn),
                seconds,
                lambda place: drawn[place].ready(),
            )
        finally:
            registry.databases = bound
            free.dispose()
        return {"on": asdict(on), "off": asdict(off), "ratio": on.median / off.median}

    def _requests(self, shape: shapes.Shape, values: int) -> Sequence[shapes.Request]:
        """The same whenever they are asked for: what was read once is not unread any more for a second draw."""
        key = (shape.name, values)
        if key not in self._drawn:
            self._drawn[key] = shapes.requests(shape, self.plan, self.bare, self.callers, values)
        return self._drawn[key]

    def _call(self, request: shapes.Request) -> measure.Call:
        ask = self.callers.call(request.target, request.caller, request.method, request.body)
        if not request.before:
            return measure.Call(str(request), ask)
        return measure.Call(str(request), ask, lambda: self.bare.execute(request.before))

    def authentication(self, seconds: float, values: int = VALUES) -> dict[str, Any]:
        """The same public page asked for by accounts and by nobody, in turns; milliseconds.

        ``first_use`` is what checking the signature of a token takes; later requests find that remembered.
        """
        drawn = shapes.requests(shapes.REVIEWS, self.plan, self.bare, self.callers, values)
        known = [self.callers.call(request.target, request.caller) for request in drawn]
        nobody = [self.callers.call(request.target, None) for request in drawn]
        for calls in (known, nobody):
            for call in calls:
                call()
        gc.collect()
        with_token, without = measure.take_turns(
            lambda place: known[place](), lambda place: nobody[place](), len(drawn), seconds, lambda _place: None
        )
        tokens = [self.callers.token(1, generation) for generation in range(1, TOKENS + 1)]
        began = time.perf_counter()
        for token in tokens:
            self.callers.keys.verify(token)
        return {
            "known": asdict(with_token),
            "nobody": asdict(without),
            "median": with_token.median - without.median,
            "cpu": with_token.cpu - without.cpu,
            "first_use": 1000 * (time.perf_counter() - began) / TOKENS,
        }
