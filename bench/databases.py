"""The databases that are measured on: one PostgreSQL in the benchmark's data folder, one filled database per size.

They are kept between runs. A database's name holds a fingerprint of what made it, so a changed schema or a changed
filling makes a new one, and the old one is dropped.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from marketplace_api.database import migrations
from marketplace_api.database.embedded_postgres import EmbeddedPostgres

# What anyone sets on a machine that serves more than a demonstration, and nothing more.
SERVER_SETTINGS = {"shared_buffers": "1GB", "effective_cache_size": "4GB", "max_wal_size": "4GB"}
TOLD = (
    "server_version",
    "shared_buffers",
    "effective_cache_size",
    "work_mem",
    "random_page_cost",
    "jit",
    "fsync",
    "max_parallel_workers_per_gather",
)
_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Kind:
    """What a database holds: the prefix of its name, the module that fills it, and the files that decide its content."""

    name: str
    module: str
    files: tuple[str, ...]


LISTINGS = Kind("listings", "bench.fill", ("fill.py",))
_COPY = "measured_copy"
PEOPLE = Kind("people", "bench.people.fill", ("fill.py", "people/fill.py", "people/plan.py"))


@contextmanager
def server(folder: Path) -> Iterator[EmbeddedPostgres]:
    """The running server of the data folder."""
    embedded = EmbeddedPostgres(folder / "postgres", settings=SERVER_SETTINGS)
    embedded.start()
    try:
        yield embedded
    finally:
        embedded.stop()


def database(embedded: EmbeddedPostgres, size: int, kind: Kind = LISTINGS) -> str:
    """The URL of the database with ``size`` listings or messages, filled now unless it is there."""
    name = f"{kind.name}_{size}_{_fingerprint(kind)}"
    _drop_outdated(embedded, f"{kind.name}_{size}_", name)
    url = embedded.ensure_database(name)
    # A process of its own, which leaves no pool of workers or cached words behind in the one that measures.
    command = [sys.executable, "-m", kind.module, "--url", url, "--size", str(size)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=_FOLDER.parent)
    if done.returncode:
        raise RuntimeError(f"Filling {size:,} {kind.name} failed: {done.stderr.strip()[-2000:]}")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CHECKPOINT")
    return url


@contextmanager
def copied(embedded: EmbeddedPostgres, url: str) -> Iterator[str]:
    """The URL of a copy for what writes, so that every run finds the same data; dropped in the end."""
    original = sql.Identifier(psycopg.conninfo.conninfo_to_dict(url)["dbname"])  # type: ignore[arg-type]
    drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(_COPY))
    with psycopg.connect(embedded.url("postgres"), autocommit=True) as connection:
        connection.execute(drop)
        copy = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY")
        connection.execute(copy.format(sql.Identifier(_COPY), original))
        try:
            yield embedded.url(_COPY)
        finally:
            connection.execute(drop)


def facts(url: str, table: str = "listings") -> dict[str, Any]:
    """Version, settings and size of the database at ``url`` and of its largest table."""
    with psycopg.connect(url, autocommit=True) as connection:
        told = {name: connection.execute(f"SHOW {name}").fetchone()[0] for name in TOLD}  # type: ignore[index]
        row = connection.execute(
            "SELECT pg_database_size(current_database()), pg_table_size(%(table)s), pg_indexes_size(%(table)s)",
            {"table": table},
        ).fetchone()
    assert row is not None
    return {"settings": told, "database_bytes": row[0], f"{table}_bytes": row[1], f"{table}_indexes_bytes": row[2]}


def warm(url: str, tables: Sequence[str] = ("listings", "search_terms", "users", "categories")) -> None:
    """Read the tables and indexes once, as a server that runs for a while has."""
    with psycopg.connect(url, autocommit=True) as connection:
        for table in tables:
            connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table)))


def _fingerprint(kind: Kind) -> str:
    digest = blake2b(b"".join((_FOLDER / file).read_bytes() for file in kind.files), digest_size=4)
    for revision in sorted((migrations.FOLDER / "versions").glob("*.py")):
        digest.update(revision.read_bytes())
    return digest.hexdigest()


def _drop_outdated(embedded: EmbeddedPostgres, prefix: str, wanted: str) -> None:
    """Databases of other contents go, and one whose filling was cut off: only a full one has a comment."""
    with psycopg.connect(embedded.url("postgres"), autocommit=True) as connection:
        rows = connection.execute(
            "SELECT datname FROM pg_database WHERE starts_with(datname, %s) "
            "AND (datname <> %s OR shobj_description(oid, 'pg_database') IS NULL)",
            [prefix, wanted],
        ).fetchall()
        for (name,) in rows:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
