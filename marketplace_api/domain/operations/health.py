"""Whether the database can serve: reachable, and migrated to what this code expects; and how busy it is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import sqlalchemy as sa
import structlog
from sqlalchemy.orm import Session

from marketplace_api.database import row_security
from marketplace_api.database.engines import Databases, is_outage
from marketplace_api.diagnostics.inspector import CONNECTIONS, SYSTEM_IDENTIFIER, installation_id
from marketplace_api.diagnostics.queries import (
    BACKUP_AGE,
    DELIVERIES,
    FEED_LAG,
    PUT_OFF,
    QUEUES,
    RETRIED,
    RUNS,
    WEBHOOKS,
    WORKERS,
    DeliveryFacts,
    QueueFacts,
    RunFacts,
    WebhookFacts,
)
from marketplace_api.domain.operations import schema
from marketplace_api.models.kernel.jobs import Queue

OK, UNKNOWN = "ok", "unknown"
LOOK_EVERY = 5.0
"""Seconds for which a schema that does not fit is not looked at again."""

log = structlog.get_logger(__name__)

T = TypeVar("T")

_WORKERS, _QUEUES, _RUNS = sa.text(WORKERS), sa.text(QUEUES), sa.text(RUNS)
_WEBHOOKS, _DELIVERIES = sa.text(WEBHOOKS), sa.text(DELIVERIES)
_SYSTEM = sa.text(SYSTEM_IDENTIFIER)
_CONNECTIONS = sa.text(CONNECTIONS)
_RETRIED = sa.text(RETRIED.replace("%(least)s", "0"))
_PUT_OFF = sa.text(PUT_OFF)
_BACKUP_AGE = sa.text(BACKUP_AGE.replace("::", r"\:\:"))
_FEED_LAG = sa.text(FEED_LAG.replace("::", r"\:\:"))
_MOST_CONNECTIONS = sa.text("SELECT current_setting('max_connections')::int")


def database_state(databases: Databases) -> dict[str, str]:
    """The states of ``database`` and ``migrations``: ``ok``, or a few words or a sentence that say what is wrong.

    They alone decide whether a process is ready: without them it can answer nothing.
    """
    try:
        with databases.write.connect() as connection:
            connection.execute(sa.text("SELECT 1"))
            return {"database": OK, "migrations": schema.misfit(connection) or OK}
    except sa.exc.DBAPIError as error:
        told = schema.refusal(error)
        if told is not None:
            return {"database": OK, "migrations": told}
        if not is_outage(error):
            raise
        return {"database": "unavailable", "migrations": UNKNOWN}
    except sa.exc.TimeoutError:
        return {"database": "no free connection", "migrations": UNKNOWN}


class SchemaWatch:
    """Tells whether errors come of a schema that does not fit this code, and says so in the log once, not for each."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked: sa.Engine | None = None
        self._found: str | None = None
        self._until = 0.0

    def explain(self, error: BaseException, databases: Databases) -> str | None:
        """What is wrong with the schema, in a sentence; ``None`` where it fits, and the error has another cause."""
        if not schema.is_suspicious(error):
            return None
        with self._lock:
            now, before = time.monotonic(), self._found if self._asked is databases.write else None
            if before is None or now >= self._until:
                told = database_state(databases)["migrations"]
                found = told if told not in (OK, UNKNOWN) else None
                if found is not None and found != before:
                    log.error("schema.misfit", told=found)
                self._asked, self._found, self._until = databases.write, found, now + LOOK_EVERY
            return self._found


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
    connections by what they do, for how many seconds the feed of events waits, how old the newest backup is; and by queue how many jobs failed and are
    tried again, and for how many seconds the first of them has been failing."""

    work: Work
    webhooks: WebhookFacts
    deliveries: tuple[DeliveryFacts, ...]
    connections: dict[str, int]
    most_connections: int
    feed_lag: float
    retried: dict[str, tuple[int, float]]
    backup_age: float


def work_state(databases: Databases) -> Work | None:
    """Asked of the primary; ``None`` while that is away or has not been migrated."""
    return _query(databases, _work)


def vitals(databases: Databases) -> Vitals | None:
    """Asked of the primary; ``None`` while that is away or has not been migrated."""
    return _query(databases, _vitals)


def put_off(databases: Databases) -> dict[str, int] | None:
    """How many notifications failed and wait for their next attempt, by channel; ``None`` as for :func:`vitals`."""
    return _query(databases, _put_off)


def _put_off(connection: sa.Connection) -> dict[str, int]:
    with Session(connection) as session, row_security.elevated(session):
        return {row[0]: row[1] for row in session.execute(_PUT_OFF)}


def _vitals(connection: sa.Connection) -> Vitals:
    return Vitals(
        work=_work(connection),
        webhooks=WebhookFacts(**connection.execute(_WEBHOOKS).mappings().one()),
        deliveries=tuple(DeliveryFacts(**row) for row in connection.execute(_DELIVERIES).mappings()),
        connections={row[0]: row[1] for row in connection.execute(_CONNECTIONS)},
        most_connections=connection.execute(_MOST_CONNECTIONS).scalar_one(),
        feed_lag=connection.execute(_FEED_LAG).scalar_one(),
        retried={row[0]: (row[1], row[3]) for row in connection.execute(_RETRIED)},
        backup_age=connection.execute(_BACKUP_AGE).scalar_one(),
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
