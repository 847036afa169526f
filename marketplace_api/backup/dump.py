"""Making a backup while the service runs: everything in the database is as it was at one moment."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from marketplace_api import boot
from marketplace_api.backup import files, tables
from marketplace_api.backup.archive import CHUNK, DUMP, FILES, LISTING, MANIFEST, BackupError, Writer
from marketplace_api.backup.manifest import FileFacts, Manifest
from marketplace_api.backup.pg_tools import find_matching, run_pg_dump
from marketplace_api.gateways.storage import Storage
from marketplace_api.version import VERSION

Progress = Callable[[str], None]
TELL_EVERY = 0.5

_KEYS = "SELECT key_id, count(*) FROM public.verifications WHERE key_id IS NOT NULL GROUP BY key_id ORDER BY key_id"
_EXTENSIONS = "SELECT extname, extversion FROM pg_extension WHERE extname <> 'plpgsql' ORDER BY extname"
# Whom grants, default grants and policies name; neither the owner, nor everybody, nor a role of PostgreSQL's own.
_ROLES = """
    SELECT DISTINCT rolname FROM pg_roles WHERE rolname <> current_user AND rolname !~ '^pg_' AND oid IN (
        SELECT (aclexplode(relacl)).grantee FROM pg_class
        UNION SELECT (aclexplode(attacl)).grantee FROM pg_attribute WHERE attacl IS NOT NULL
        UNION SELECT (aclexplode(nspacl)).grantee FROM pg_namespace WHERE nspname !~ '^pg_'
        UNION SELECT (aclexplode(proacl)).grantee FROM pg_proc
        UNION SELECT (aclexplode(typacl)).grantee FROM pg_type
        UNION SELECT (aclexplode(defaclacl)).grantee FROM pg_default_acl
        UNION SELECT defaclrole FROM pg_default_acl
        UNION SELECT unnest(polroles) FROM pg_policy)
    ORDER BY rolname
"""


@dataclass(frozen=True, slots=True)
class DumpResult:
    """A finished backup: its size in bytes, and what it says of itself."""

    size: int
    manifest: Manifest


def create(
    url: str,
    storage: Storage,
    path: Path,
    *,
    with_files: bool,
    progress: Progress = lambda _text: None,
    replace: bool = False,
) -> DumpResult:
    """Write the database at ``url``, and the files if wanted, to ``path``, which must not exist yet unless to ``replace``.

    ``progress`` hears how far it is. Raises BackupError, Conflict, and Unavailable while the storage is away.
    """
    with Writer(path, replace=replace) as writer, _snapshot(url) as (connection, snapshot):
        programs = find_matching(connection.info.server_version // 10_000, "The backup")
        with writer.member(DUMP) as part, run_pg_dump(programs, url, snapshot) as dump:
            say = _throttled(progress)
            while data := dump.read(CHUNK):
                part.write(data)
                say(f"Dumping the database … {part.size / 1e6:,.0f} MB")
        found = tables.facts(query_runner(connection), lambda name: progress(f"Counting {name} …"))
        stored, size = _list(connection, writer)
        included = _copy(connection, storage, writer, stored, progress) if with_files else _Copied()
        gone, damaged = _split_lost(url, included.lost)
        facts = FileFacts(stored, size, included.count if with_files else None, tuple(gone), tuple(damaged))
        manifest = _manifest(connection, programs.version, found, facts)
        with writer.member(MANIFEST) as part:
            part.write(manifest.dump())
        progress("Writing to the disk …")
        return DumpResult(writer.finish(), manifest)


def query_runner(connection: psycopg.Connection[Any]) -> tables.Ask:
    """What :mod:`tables` asks through."""

    def ask(statement: str) -> str:
        row = connection.execute(statement.encode()).fetchone()
        return str(row[0]) if row else ""

    return ask


@contextmanager
def connect(url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection whose transaction sees the database as it is now, whatever happens meanwhile, and all of it.

    Migrations wait until it ends, and it waits for one that is under way. Raises BackupError where the connection is lost.
    """
    try:
        with psycopg.connect(
            url, autocommit=True, connect_timeout=10, application_name="marketplace backup"
        ) as connection:
            connection.execute("SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0")
            connection.execute("SELECT pg_advisory_lock_shared(%s)", [boot.PREPARATION_LOCK])
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            for setting in tables.PLAIN_TEXT:
                connection.execute(setting.encode())
            yield connection
            connection.execute("COMMIT")
    except psycopg.Error as error:
        reason = str(error).strip().partition("\n")[0]
        raise BackupError(f"The database did not answer to the end ({reason}), and nothing was kept.") from error


@contextmanager
def _snapshot(url: str) -> Iterator[tuple[psycopg.Connection[Any], str]]:
    with connect(url) as connection:
        yield connection, query_runner(connection)("SELECT pg_export_snapshot()")


def has_table(connection: psycopg.Connection[Any], name: str) -> bool:
    """Whether the database has come to the migration that brings this table."""
    return connection.execute("SELECT to_regclass(%s)", [f"public.{name}"]).fetchone() != (None,)


def _list(connection: psycopg.Connection[Any], writer: Writer) -> tuple[int, int]:
    """Writes the list of files; how many are stored, and their bytes."""
    count = size = 0
    with writer.member(LISTING) as part:
        for entry in files.rows(connection) if has_table(connection, "files") else ():
            part.write(entry.line())
            if entry.state == files.STORED:
                count, size = count + 1, size + entry.size
    return count, size


@dataclass(slots=True)
class _Copied:
    count: int = 0
    lost: list[str] = field(default_factory=list)


def _copy(
    connection: psycopg.Connection[Any], storage: Storage, writer: Writer, total: int, progress: Progress
) -> _Copied:
    """Writes the stored files, one at a time, as they are: documents stay sealed."""
    copied, say = _Copied(), _throttled(progress)
    for entry in files.rows(connection) if total else ():
        if entry.state != files.STORED:
            continue
        with writer.member(f"{FILES}{entry.key}") as part:
            for chunk in storage.read(entry.key) or ():
                part.write(chunk)
            if (part.size, part.sha256) != (entry.size, entry.sha256):
                part.drop()
        if part.is_dropped:
            copied.lost.append(entry.key)
        else:
            copied.count += 1
        say(f"Copying files … {copied.count:,} of {total:,}")
    return copied


def _split_lost(url: str, lost: list[str]) -> tuple[list[str], list[str]]:
    """Files that were deleted while the backup was made, and those that the storage has lost or changed."""
    if not lost:
        return [], []
    # Another connection than the one of the snapshot, which still sees all of them.
    with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
        damaged = files.still_stored(connection, lost)
    return [key for key in lost if key not in set(damaged)], damaged


def _manifest(
    connection: psycopg.Connection[Any], pg_dump: str, found: Mapping[str, tables.Facts], facts: FileFacts
) -> Manifest:
    ask = query_runner(connection)
    migrated = has_table(connection, "alembic_version")
    sealed = connection.execute(_KEYS).fetchall() if has_table(connection, "verifications") else []
    return Manifest(
        application=VERSION,
        migration=ask("SELECT version_num FROM public.alembic_version") if migrated else "",
        server=ask("SELECT split_part(current_setting('server_version'), ' ', 1)"),
        pg_dump=pg_dump,
        made_at=ask('SELECT to_char(now(), \'YYYY-MM-DD"T"HH24:MI:SS"Z"\')'),
        tables=found,
        files=facts,
        document_keys=dict(sealed),
        extensions=dict(connection.execute(_EXTENSIONS).fetchall()),
        roles=tuple(name for (name,) in connection.execute(_ROLES).fetchall()),
    )


def _throttled(progress: Progress) -> Progress:
    """Tells twice a second at most."""
    last = 0.0

    def say(text: str) -> None:
        nonlocal last
        if time.monotonic() - last >= TELL_EVERY:
            last = time.monotonic()
            progress(text)

    return say
