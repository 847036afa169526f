"""Whether the database can serve: reachable, and migrated to what this code expects; and how busy it is."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
import sqlalchemy as sa

from marketplace_api import migrations
from marketplace_api.db import Databases, is_outage
from marketplace_api.facts import CONNECTIONS, DELIVERIES, QUEUE, DeliveryFacts, QueueFacts

OK = "ok"

_QUEUE = sa.text(QUEUE)
_DELIVERIES = sa.text(DELIVERIES)
_CONNECTIONS = sa.text(CONNECTIONS)
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


@dataclass(frozen=True, slots=True)
class Vitals:
    """What monitors watch of the database: the ``queue``, what is to leave the house, and its connections by what they do."""

    queue: QueueFacts
    deliveries: list[DeliveryFacts]
    connections: dict[str, int]
    most_connections: int


def vitals(databases: Databases) -> Vitals | None:
    """Asked of the primary; ``None`` while that is away or has not been migrated."""
    try:
        with databases.write.connect() as connection:
            queue = connection.execute(_QUEUE).mappings().one()
            deliveries = [DeliveryFacts(**row) for row in connection.execute(_DELIVERIES).mappings()]
            states = connection.execute(_CONNECTIONS).all()
            most = connection.execute(_MOST_CONNECTIONS).scalar_one()
    except sa.exc.ProgrammingError:
        return None
    except (sa.exc.DBAPIError, sa.exc.TimeoutError) as error:
        if not is_outage(error):
            raise
        return None
    return Vitals(QueueFacts(**queue), deliveries, {row[0]: row[1] for row in states}, most)
