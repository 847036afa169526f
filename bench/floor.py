"""The floor: what the same statements cost without any framework.

Every statement that a request of ours sends is recorded where all of them pass, at the driver's cursor, and is then
replayed by a bare psycopg connection: run, fetch all rows, make a dict of each, write them as JSON.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import orjson
import psycopg
from psycopg import Cursor


class Statement(NamedTuple):
    """SQL as the driver got it."""

    sql: str
    parameters: Any


@contextmanager
def recorded() -> Iterator[list[Statement]]:
    """Collects every statement that this process sends within the block."""
    sent: list[Statement] = []
    original = Cursor.execute

    def execute(self: Any, query: Any, params: Any = None, **options: Any) -> Any:
        sent.append(Statement(query, dict(params) if isinstance(params, dict) else params))
        return original(self, query, params, **options)

    Cursor.execute = execute  # type: ignore[method-assign]
    try:
        yield sent
    finally:
        Cursor.execute = original  # type: ignore[method-assign]


@contextmanager
def connection(url: str) -> Iterator[psycopg.Connection[Any]]:
    """A bare connection with the session settings of ours; psycopg prepares what comes back often."""
    options = "-c statement_timeout=15000 -c timezone=UTC -c jit=off -c max_parallel_workers_per_gather=0"
    with psycopg.connect(url, autocommit=True, options=options) as bare:
        yield bare


class Replay:
    """Runs recorded statements and writes their rows as JSON; column names are looked up once per statement."""

    def __init__(self, bare: psycopg.Connection[Any]) -> None:
        self._connection = bare
        self._names: dict[str, tuple[str, ...]] = {}

    def __call__(self, statements: list[Statement]) -> bytes:
        answer = []
        for sql, parameters in statements:
            cursor = self._connection.execute(sql, parameters)
            names = self._names.get(sql)
            if names is None:
                names = self._names[sql] = tuple(column.name for column in cursor.description or ())
            answer.append([dict(zip(names, row, strict=True)) for row in cursor.fetchall()])
        return orjson.dumps(answer, default=str)
