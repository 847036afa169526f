"""Which SQL really went to the server: recorded at the driver, under SQLAlchemy and ``Prepared`` alike."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import psycopg


@contextmanager
def recorded() -> Iterator[list[str]]:
    """The statements that this process sends while the block runs."""
    found: list[str] = []
    execute = psycopg.Cursor.execute

    def recording(self: psycopg.Cursor[Any], query: Any, *args: Any, **options: Any) -> Any:
        found.append(
            query if isinstance(query, str) else bytes(query).decode() if isinstance(query, bytes) else str(query)
        )
        return execute(self, query, *args, **options)

    with patch.object(psycopg.Cursor, "execute", recording):
        yield found
