"""The databases that are measured on: one PostgreSQL in the benchmark's data folder, one filled database per size.

They are kept between runs. A database's name holds a fingerprint of what made it, so a changed schema or a changed
filling makes a new one, and the old one is dropped.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from marketplace_api import migrations
from marketplace_api.embedded_postgres import EmbeddedPostgres

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
_FILL = Path(__file__).with_name("fill.py")


@contextmanager
def server(folder: Path) -> Iterator[EmbeddedPostgres]:
    """The running server of the data folder."""
    embedded = EmbeddedPostgres(folder / "postgres", settings=SERVER_SETTINGS)
    embedded.start()
    try:
        yield embedded
    finally:
        embedded.stop()


def database(embedded: EmbeddedPostgres, size: int) -> str:
    """The URL of the database with ``size`` listings, filled now unless it is there."""
    name = f"listings_{size}_{_fingerprint()}"
    _drop_outdated(embedded, size, name)
    url = embedded.ensure_database(name)
    # A process of its own, which leaves no pool of workers or cached words behind in the one that measures.
    command = [sys.executable, "-m", "bench.fill", "--url", url, "--size", str(size)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=_FILL.parent.parent)
    if done.returncode:
        raise RuntimeError(f"Filling {size:,} listings failed: {done.stderr.strip()[-2000:]}")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CHECKPOINT")
    return url


def facts(url: str) -> dict[str, Any]:
    """Version, settings and size of the database at ``url``."""
    with psycopg.connect(url, autocommit=True) as connection:
        told = {name: connection.execute(f"SHOW {name}").fetchone()[0] for name in TOLD}  # type: ignore[index]
        row = connection.execute(
            "SELECT pg_database_size(current_database()), pg_table_size('listings'), pg_indexes_size('listings')"
        ).fetchone()
    assert row is not None
    return {"settings": told, "database_bytes": row[0], "listings_bytes": row[1], "listings_indexes_bytes": row[2]}


def warm(url: str) -> None:
    """Read the tables and indexes once, as a server that runs for a while has."""
    with psycopg.connect(url, autocommit=True) as connection:
        for table in ("listings", "search_terms", "users", "categories"):
            connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table)))


def _fingerprint() -> str:
    digest = blake2b(_FILL.read_bytes(), digest_size=4)
    for revision in sorted((migrations.FOLDER / "versions").glob("*.py")):
        digest.update(revision.read_bytes())
    return digest.hexdigest()


def _drop_outdated(embedded: EmbeddedPostgres, size: int, wanted: str) -> None:
    with psycopg.connect(embedded.url("postgres"), autocommit=True) as connection:
        rows = connection.execute(
            "SELECT datname FROM pg_database WHERE starts_with(datname, %s) AND datname <> %s",
            [f"listings_{size}_", wanted],
        ).fetchall()
        for (name,) in rows:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
