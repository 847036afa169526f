"""Whether the database can serve: reachable, and migrated to what this code expects."""

from __future__ import annotations

import sqlalchemy as sa

from marketplace_api import migrations
from marketplace_api.db import Databases, is_outage

OK = "ok"


def database_state(databases: Databases) -> dict[str, str]:
    """The states of ``database`` and ``migrations``: ``ok``, or a few words that say what is wrong."""
    try:
        with databases.write.connect() as connection:
            connection.execute(sa.text("SELECT 1"))
            present = migrations.current(connection)
    except sa.exc.DBAPIError as error:
        if not is_outage(error):
            raise
        return {"database": "unavailable", "migrations": "unknown"}
    except sa.exc.TimeoutError:
        return {"database": "no free connection", "migrations": "unknown"}
    return {
        "database": OK,
        "migrations": OK if present == migrations.head() else f"at {present or 'none'}, not {migrations.head()}",
    }
