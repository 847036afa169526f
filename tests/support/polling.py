"""Waiting until somebody else waits, for tests of races."""

from __future__ import annotations

from collections.abc import Callable
from time import sleep

import sqlalchemy as sa

from marketplace_api.database.engines import Databases

# Other tests have databases of their own on the same server.
_WAITING = sa.text(
    "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted AND datname = current_database()"
)


def until_somebody_waits(databases: Databases) -> None:
    """Return as soon as a connection to the database waits for a lock: of a row, or of a pair."""
    with databases.reader() as reader:
        for _ in range(1_000):
            if reader.execute(_WAITING).scalar_one():
                return
            sleep(0.01)
    raise AssertionError("nobody waits")


def eventually(holds: Callable[[], bool]) -> None:
    """Return as soon as ``holds`` does; raises AssertionError after a minute."""
    for _ in range(6_000):
        if holds():
            return
        sleep(0.01)
    raise AssertionError("it never came to that")
