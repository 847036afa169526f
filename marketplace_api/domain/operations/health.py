"""Whether the database can serve: reachable, and migrated to what this code expects; and how busy it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import psycopg
import sqlalchemy as sa

from marketplace_api.database import migrations
from marketplace_api.database.engines import Databases, is_outage
from marketplace_api.diagnostics.inspector import CONNECTIONS, SYSTEM_IDENTIFIER, installation_id
from marketplace_api.diagnostics.queries import (
    DELIVERIES,
    FEED_LAG,
    QUEUES,
    RUNS,
    WEBHOOKS,
    WORKERS,
    DeliveryFacts,
    QueueFacts,
    RunFacts,
    WebhookFacts,
)
from marketplace_api.models.kernel.jobs import Queue

OK = "ok"

T = TypeVar("T")

_WORKERS, _QUEUES, _RUNS = sa.text(WORKERS), sa.text(QUEUES), sa.text(RUNS)
_WEBHOOKS, _DELIVERIES = sa.text(WEBHOOKS), sa.text(DELIVERIES)
_SYSTEM = sa.text(SYSTEM_IDENTIFIER)
_CONNECTIONS = sa.text(CONNECTIONS)
_FEED_LAG = sa.text(FEED_LAG.replace("::", r"\:\:"))
_MOST_CONNECTIONS = sa.text("SELECT current_setting('max_connections')::int")


def database_state(databases: Databases) -> dict[str, str]:
    """The states of ``database`` and ``migrations``: ``ok``, or a few words that say what is wrong."""
    try:
        with databases.write.connect() as connection:
            connection.execute(sa.text("SELECT 1"))
            present = migrations.current(connection)
    except sa.exc.DBAPIError as error:
        if isinstance(error.orig, psycopg.errors.InsufficientPrivilege):
            # The migrations give the application its rights, and take them back when they go.
            return {"database": OK, "migrations": f"at none, not {migrations.head()}"}
        if not is_outage(error):
            raise
        return {"database": "unavailable", "migrations": "unknown"}
    except sa.exc.TimeoutError:
        return {"database": "no free connection", "migrations": "unknown"}
    return {
        "database": OK,
        "migrations": OK if migrations.suffices(present) else f"at {present or 'none'}, not {migrations.head()}",
    }


def installation(databases: Databases, secret: str) -> str | None:
    """Which installation this is, see :func:`installation_id`; ``None`` while the database does not tell."""
    try:
        with databases.write.connect() as connection:
            return installation_id(connection.execute(_SYSTEM).scalar_one(), secret)
    except (sa.exc.DBAPIError, sa.exc.TimeoutError):
        return None


@dataclass(frozen=True, slots=True)
class Work:
    """How many workers live, every queue there is, also one that holds no job, and what the clock did."""

    workers: int
    queues: tuple[QueueFacts, ...]
    runs: tuple[RunFacts, ...]


@dataclass(frozen=True, slots=True)
class Vitals:
    """What monitors watch of the database: the ``work`` of the jobs, ``webhooks`` and other ``deliveries``, its
    connections by what they do, and for how many seconds the feed of events waits."""

    work: Work
    webhooks: WebhookFacts
    deliveries: tuple[DeliveryFacts, ...]
    connections: dict[str, int]
    most_connections: int
    feed_lag: float


def work_state(databases: Databases) -> Work | None:
    """Asked of the primary; ``None`` while that is away or has not been migrated."""
    return _query(databases, _work)


def vitals(databases: Databases) -> Vitals | None:
    """Asked of the primary; ``None`` while that is away or has not been migrated."""
    return _query(databases, _vitals)


def _vitals(connection: sa.Connection) -> Vitals:
    return Vitals(
        work=_work(connection),
        webhooks=WebhookFacts(**connection.execute(_WEBHOOKS).mappings().one()),
        deliveries=tuple(DeliveryFacts(**row) for row in connection.execute(_DELIVERIES).mappings()),
        connections={row[0]: row[1] for row in connection.execute(_CONNECTIONS)},
        most_connections=connection.execute(_MOST_CONNECTIONS).scalar_one(),
        feed_lag=connection.execute(_FEED_LAG).scalar_one(),
    )


def _work(connection: sa.Connection) -> Work:
    workers = connection.execute(_WORKERS).scalar_one()
    # What holds no job is told as well: a number that was never 0 cannot be seen to rise.
    queues = {queue.value: QueueFacts(queue.value) for queue in Queue}
    queues |= {row["queue"]: QueueFacts(**row) for row in connection.execute(_QUEUES).mappings()}
    runs = (RunFacts(**row) for row in connection.execute(_RUNS).mappings())
    return Work(workers, tuple(queues.values()), tuple(runs))


def _query(databases: Databases, ask: Callable[[sa.Connection], T]) -> T | None:
    try:
        with databases.write.connect() as connection:
            return ask(connection)
    except sa.exc.ProgrammingError:
        return None
    except (sa.exc.DBAPIError, sa.exc.TimeoutError) as error:
        if not is_outage(error):
            raise
        return None
