"""What the tables of a database hold, told by counts and checksums that do not depend on the order of rows.

A checksum is the sum of a 64-bit hash of each row's text (``hashtextextended``), so the server reads every table once and
sorts nothing. Generated columns are left out: they follow from the others.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Ask = Callable[[str], str]
"""Runs a statement and returns its only value, as text."""

# How values look as text must not depend on anybody's settings; and rather no answer than one with rows left out.
PLAIN_TEXT = (
    "SET LOCAL search_path = pg_catalog",
    "SET LOCAL timezone = 'UTC'",
    "SET LOCAL datestyle = 'ISO, YMD'",
    "SET LOCAL intervalstyle = 'postgres'",
    "SET LOCAL extra_float_digits = 1",
    "SET LOCAL bytea_output = 'hex'",
    "SET LOCAL row_security = off",
    "SET LOCAL statement_timeout = 0",
    "SET LOCAL jit = off",
)


def _ours(catalog: str) -> str:
    """Ours and the job queue's objects in a catalog called ``o``: what an extension brought along comes again with it."""
    return (
        "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND NOT EXISTS (SELECT FROM pg_depend d "
        f"WHERE d.classid = '{catalog}'::regclass AND d.objid = o.oid AND d.deptype = 'e')"
    )


_COLUMNS = f"""
    SELECT coalesce(json_agg(json_build_array(name, columns) ORDER BY name COLLATE "C"), '[]')::text FROM (
        SELECT format('%I.%I', n.nspname, o.relname) AS name, (
            SELECT coalesce(string_agg(quote_ident(a.attname), ', ' ORDER BY a.attname COLLATE "C"), '')
            FROM pg_attribute a
            WHERE a.attrelid = o.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '') AS columns
        FROM pg_class o JOIN pg_namespace n ON n.oid = o.relnamespace
        WHERE o.relkind = 'r' AND {_ours("pg_class")}) AS tables
"""  # noqa: S608  no words of others
OBJECTS = f"""
    SELECT (SELECT count(*) FROM pg_class o JOIN pg_namespace n ON n.oid = o.relnamespace
            WHERE o.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND {_ours("pg_class")})
         + (SELECT count(*) FROM pg_proc o JOIN pg_namespace n ON n.oid = o.pronamespace WHERE {_ours("pg_proc")})
"""  # noqa: S608  no words of others
"""How many tables, views, sequences and functions there are: 0 in an empty database."""

SCHEMA_FAULTS = """
    SELECT coalesce(json_agg(told ORDER BY told), '[]')::text FROM (
        SELECT format('index %s is not valid: REINDEX INDEX it', i.indexrelid::regclass) AS told
        FROM pg_index i WHERE NOT i.indisvalid
        UNION ALL
        SELECT format('constraint %s of %s is not validated: ALTER TABLE … VALIDATE CONSTRAINT', conname, conrelid::regclass)
        FROM pg_constraint WHERE NOT convalidated AND contype IN ('c', 'f')) AS found
"""
"""What the server itself holds for unfinished, a sentence each."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one table."""

    rows: int
    checksum: str


def facts(ask: Ask, progress: Callable[[str], None] = lambda _name: None) -> dict[str, Facts]:
    """Counts and checksums of all tables by their name with schema; in a transaction with :data:`PLAIN_TEXT`."""
    found = {}
    for name, columns in json.loads(ask(_COLUMNS)):
        progress(name)
        row = f"hashtextextended(ROW({columns})::text, 0)::numeric"
        rows, checksum = json.loads(
            ask(f"SELECT json_build_array(count(*), coalesce(sum({row}), 0)::text)::text FROM {name}")  # noqa: S608  quoted by the server
        )
        found[name] = Facts(rows, checksum)
    return found


def differences(expected: Mapping[str, Facts], found: Mapping[str, Facts]) -> list[str]:
    """A sentence for each table that is not as expected."""
    told = []
    for name in sorted({*expected, *found}):
        wanted, present = expected.get(name), found.get(name)
        if present is None:
            told.append(f"{name} is missing")
        elif wanted is None:
            told.append(f"{name} is not in the backup")
        elif wanted.rows != present.rows:
            told.append(f"{name} has {present.rows:,} rows, the backup {wanted.rows:,}")
        elif wanted != present:
            told.append(f"{name} has as many rows as the backup, but not the same")
    return told
