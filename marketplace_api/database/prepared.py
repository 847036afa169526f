"""Statements that are asked on every request: compiled once, run on the driver's own cursor."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

import psycopg
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

_DIALECT = postgresql.psycopg.dialect()  # type: ignore[no-untyped-call]

_CURSOR = "cursor of prepared statements"


class Reader(Protocol):
    """What a query needs: a session or a bare connection."""

    def execute(self, statement: Any, parameters: Any = None, /) -> Any: ...


class Prepared:
    """A statement of Core's (or a ``text``), compiled once in the process and run on the driver's own cursor.

    For what is asked on every request: rows are named tuples, and nothing is built or compiled for a call. The
    transaction is the one of the session or connection that is passed in. ``IN`` does not work here. Errors are the driver's, see
    :func:`is_outage`; a broken connection empties its pool.
    """

    def __init__(self, statement: sa.Select[Any] | sa.TextClause) -> None:
        compiled = statement.compile(dialect=_DIALECT)
        self._sql = str(compiled)
        self._fixed = {name: value for name, value in compiled.params.items() if value is not None}
        self._make: Callable[[Any], Any] | None = None

    def first(self, db: Reader, parameters: Mapping[str, Any]) -> Any | None:
        """The first row, or ``None``."""
        cursor = self._run(db, parameters)
        row = cursor.fetchone()
        return None if row is None else self._maker(cursor)(row)

    def all(self, db: Reader, parameters: Mapping[str, Any]) -> list[Any]:
        cursor = self._run(db, parameters)
        make = self._maker(cursor)
        return [make(row) for row in cursor.fetchall()]

    def scalar(self, db: Reader, parameters: Mapping[str, Any]) -> Any:
        """The only column of the only row."""
        (value,) = self._run(db, parameters).fetchone()
        return value

    def _maker(self, cursor: Any) -> Callable[[Any], Any]:
        """The rows' class, made from the names of the first answer's columns."""
        if self._make is None:
            row = namedtuple("Row", [column.name for column in cursor.description], rename=True)  # type: ignore[misc]
            # What ``_make`` does, without a call of Python's for each row.
            self._make = partial(tuple.__new__, row)
        return self._make

    def _run(self, db: Reader, parameters: Mapping[str, Any]) -> Any:
        connection: Any = db.connection() if isinstance(db, Session) else db
        held: Any = connection.connection
        cursor = held.info.get(_CURSOR)
        if cursor is None:
            # One for all that is asked through a connection: to make one is a fifth of what a cheap statement costs.
            cursor = held.info[_CURSOR] = held.driver_connection.cursor()
        try:
            return cursor.execute(self._sql, {**self._fixed, **parameters})
        except psycopg.OperationalError:
            if cursor.connection.broken or cursor.connection.closed:
                connection.invalidate()
                # The others in the pool were lost with it, most likely: none shall cost a request of its own.
                connection.engine.dispose()
            raise
