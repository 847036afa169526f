"""Whether the schema of the database fits this code, and which errors come of one that does not."""

from __future__ import annotations

import sqlalchemy as sa

import marketplace_api.models  # noqa: F401  every table is in Base.metadata then
from marketplace_api.database import migrations
from marketplace_api.database.base import Base
from marketplace_api.database.row_security import APP_ROLE

UPGRADE = "run `marketplace-admin db upgrade`"
MOST_NAMED = 5

# Class 42: a table, column, function or right is not there; 3F: nor is the schema itself.
_CLASSES = ("42", "3F")
_COLUMNS = sa.text(
    "SELECT relname, attname FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid "
    "WHERE relnamespace = current_schema()\\:\\:regnamespace AND relkind IN ('r', 'p', 'v', 'm') "
    "AND attnum > 0 AND NOT attisdropped"
)


def misfit(connection: sa.Connection) -> str | None:
    """Why this code cannot work on the database, in a sentence that says what to do; ``None`` if it can.

    A revision that this code does not know is the work of a newer release, which runs beside this one while it is
    rolled out. It fits as long as everything is there that this code reads.
    """
    newest, present = migrations.head(), migrations.current(connection)
    if newest is None:
        return (
            "No migrations were found beside this code, so it cannot tell whether the schema fits: install the whole "
            "release, or let MARKETPLACE_ALEMBIC name their folder."
        )
    if present is None:
        return f"The database was never migrated, and this code needs {newest}: {UPGRADE}."
    if present == newest:
        return None
    if migrations.suffices(present):
        missing = _missing(connection)
        return (
            None
            if not missing
            else (
                f"The schema is at {present}, which this code does not know, and lacks what it reads "
                f"({', '.join(missing[:MOST_NAMED])}): install the release that made it, or a newer one."
            )
        )
    return f"The schema is at {present}, older than {newest} of this code: {UPGRADE}."


def refusal(error: BaseException) -> str | None:
    """What it means when the database does not even let us look; ``None`` where the schema is not the reason.

    The migrations make the application's role and give it its rights, and take those back when they go.
    """
    cause = _cause(error)
    if getattr(cause, "sqlstate", None) == "42501" or _lacks_role(cause):
        return f"The database does not let the application in, for it was never migrated, or not far enough: {UPGRADE}."
    return None


def is_suspicious(error: BaseException) -> bool:
    """Whether an error of the database may come of a schema that does not fit. It may be a mistake in a statement, too:
    only a look at the schema tells."""
    cause = _cause(error)
    return str(getattr(cause, "sqlstate", None) or "")[:2] in _CLASSES or _lacks_role(cause)


def _cause(error: BaseException) -> BaseException | None:
    return error.orig if isinstance(error, sa.exc.DBAPIError) else error


def _lacks_role(cause: BaseException | None) -> bool:
    # Connecting gives no SQLSTATE.
    return f'role "{APP_ROLE}" does not exist' in str(cause)


def _missing(connection: sa.Connection) -> list[str]:
    """The tables, and the columns of other tables, that this code reads and the database lacks."""
    there = {(table, column) for table, column in connection.execute(_COLUMNS)}
    tables = {table for table, _column in there}
    lacking = {
        table.name if table.name not in tables else f"{table.name}.{column.name}"
        for table in Base.metadata.tables.values()
        for column in table.columns
        if (table.name, column.name) not in there
    }
    return sorted(lacking)
