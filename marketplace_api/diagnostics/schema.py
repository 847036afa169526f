"""Whether the schema is still as the migrations made it: one query of the catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import class_row


@dataclass(frozen=True, slots=True)
class SchemaFault:
    """Something that is not as the migrations made it, and what mends it, both in a sentence."""

    detail: str
    remedy: str


# An index that is being made without locks is not valid yet, and no fault.
_FAULTS = """
SELECT 'the table ' || name || ' is gone' AS detail,
    'Restore it from a backup (docs/backup.md), or give it its name back.' AS remedy
FROM unnest(%(tables)s::text[]) AS name WHERE to_regclass(quote_ident(name)) IS NULL
UNION ALL
SELECT 'the index ' || name || ' is gone, so what it makes quick or unique is not',
    'marketplace-admin db check tells of what; make it as its migration did (alembic/versions).'
FROM unnest(%(indexes)s::text[]) AS name WHERE to_regclass(quote_ident(name)) IS NULL
UNION ALL
SELECT 'the index ' || indexrelid::regclass || ' was never finished, and nothing uses it',
    'REINDEX INDEX CONCURRENTLY ' || indexrelid::regclass || ';'
FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
WHERE NOT indisvalid AND relkind = 'i' AND relnamespace = current_schema()::regnamespace
    AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index AS made WHERE made.index_relid = indexrelid)
UNION ALL
SELECT 'triggers of ' || tgrelid::regclass || ' are switched off: ' || string_agg(DISTINCT tgname, ', '),
    'ALTER TABLE ' || tgrelid::regclass || ' ENABLE TRIGGER ALL; then marketplace-admin db check.'
FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
WHERE tgenabled = 'D' AND relnamespace = current_schema()::regnamespace GROUP BY tgrelid
UNION ALL
SELECT 'the constraint ' || conname || ' of ' || conrelid::regclass || ' was never held against the rows that there are',
    'ALTER TABLE ' || conrelid::regclass || ' VALIDATE CONSTRAINT ' || quote_ident(conname) || ';'
FROM pg_constraint WHERE NOT convalidated AND connamespace = current_schema()::regnamespace
ORDER BY 1
"""


def schema_faults(
    connection: psycopg.Connection[Any], tables: Sequence[str], indexes: Sequence[str]
) -> list[SchemaFault]:
    """What is not as it should be; ``tables`` and ``indexes`` are the names of those that there must be."""
    with connection.cursor(row_factory=class_row(SchemaFault)) as cursor:
        return cursor.execute(_FAULTS.encode(), {"tables": list(tables), "indexes": list(indexes)}).fetchall()
