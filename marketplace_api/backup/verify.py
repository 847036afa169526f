"""Checking a database that is in use: does the server trust it, and are its files there?"""

from __future__ import annotations

import json
from datetime import UTC, datetime

import psycopg

from marketplace_api.backup import files, tables
from marketplace_api.backup.dump import connect, has_table, query_runner
from marketplace_api.domain.media.files.store import PENDING_FOR
from marketplace_api.gateways.storage import Storage


def schema_faults(url: str) -> list[str]:
    """A sentence for each index and constraint that the server itself holds for unfinished."""
    with connect(url) as connection:
        return list(json.loads(query_runner(connection)(tables.SCHEMA_FAULTS)))


def files_of(url: str, storage: Storage, *, contents: bool) -> files.Found:
    """The files of the database held against the storage, see :func:`files.compare`; requests may go on meanwhile.

    Raises BackupError, and Unavailable while the storage is away.
    """
    with connect(url) as connection:
        listed = files.rows(connection) if has_table(connection, "files") else iter(())
        found = files.compare(listed, storage, contents=contents, strays_before=datetime.now(UTC) - PENDING_FOR)
    with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
        kept = files.still_stored(connection, found.missing) if found.missing else []
    found.missing_count -= len(found.missing) - len(kept)
    found.missing = kept
    return found
