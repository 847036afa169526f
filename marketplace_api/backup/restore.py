"""Verifying a backup, and restoring it: the files first, then the database in one transaction, or nothing of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg

from marketplace_api import boot
from marketplace_api.backup import files, script, tables
from marketplace_api.backup.archive import DUMP, MANIFEST, BackupError, Reader
from marketplace_api.backup.dump import Progress, connect, query_runner
from marketplace_api.backup.manifest import FORMAT, Manifest
from marketplace_api.backup.pg_tools import find_matching
from marketplace_api.database import migrations
from marketplace_api.errors import Conflict
from marketplace_api.gateways.storage import Storage
from marketplace_api.models.outbound.webhooks import LONGEST_DESCRIPTION

OFF_IN_COPY = "Switched off in a restored copy."
"""How the description of a webhook begins that a restore without jobs has switched off."""

# Workers do not come along; what they were doing waits again, unless the same job waits already.
_JOBS_BEGIN_ANEW = (
    "DELETE FROM procrastinate_jobs j WHERE status = 'doing' AND queueing_lock IS NOT NULL AND EXISTS ("
    " SELECT FROM procrastinate_jobs o WHERE o.queueing_lock = j.queueing_lock"
    " AND (o.status = 'todo' OR o.status = 'doing' AND o.id < j.id))",
    "UPDATE procrastinate_jobs SET status = 'todo', worker_id = NULL, abort_requested = false WHERE status = 'doing'",
    "DELETE FROM procrastinate_workers",
)
# With what is kept about them.
_NO_JOBS = (
    "TRUNCATE procrastinate_jobs, procrastinate_events, procrastinate_periodic_defers, procrastinate_workers CASCADE",
)
_NO_DELIVERIES = (
    "UPDATE deliveries SET status = 'skipped', error = 'restored', date_done = now() WHERE status = 'due'",
)
# What waits is ended; endpoints are switched off as by hand, for it was asked for, and their words say what did it.
_NO_WEBHOOKS = (
    "UPDATE webhook_deliveries SET status = 'failed', problem = 'restored', next_attempt_at = NULL, date_finished = now() "
    "WHERE status = 'waiting'",
    "UPDATE webhook_endpoints SET status = 'disabled', disabled_reason = 'by_hand', version = version + 1, "  # noqa: S608
    f"date_updated = now(), description = left(concat_ws(' ', '{OFF_IN_COPY}', nullif(description, '')), "
    f"{LONGEST_DESCRIPTION}) WHERE status = 'enabled'",
)
_END_SESSIONS = ("UPDATE sessions SET ended_at = now(), end_reason = 'restored' WHERE ended_at IS NULL",)
# Whether a restore has done so here.
_ENDED_BY_RESTORE = {
    "public.deliveries": "SELECT to_json(EXISTS (SELECT FROM public.deliveries WHERE error = 'restored'))::text",
    "public.sessions": "SELECT to_json(EXISTS (SELECT FROM public.sessions WHERE end_reason = 'restored'))::text",
    "public.webhook_deliveries": (
        "SELECT to_json(EXISTS (SELECT FROM public.webhook_deliveries WHERE problem = 'restored'))::text"
    ),
    "public.webhook_endpoints": (
        f"SELECT to_json(EXISTS (SELECT FROM public.webhook_endpoints WHERE description LIKE '{OFF_IN_COPY}%'))::text"  # noqa: S608
    ),
}


@dataclass(frozen=True, slots=True)
class RestoreOptions:
    """What of the backup is not wanted, and whether the storage may hold files that the backup does not know."""

    without_jobs: bool = False
    end_sessions: bool = False
    beside_other_files: bool = False


@dataclass(frozen=True, slots=True)
class RestoreResult:
    """What was restored, and how the files are: a backup without files cannot bring those that are missing."""

    manifest: Manifest
    files: files.Found
    needs_upgrade: bool


def verify(path: Path, progress: Progress = lambda _text: None) -> Manifest:
    """Read all of the backup and hold it against its checksums; needs no database. Raises BackupError."""
    reader = Reader(path)
    progress("Reading the dump …")
    manifest = _manifest(reader)
    reader.require_sums()
    count = 0
    for entry, member in files.members(reader):
        count += 1
        if member.size != entry.size or reader.sha256(member) != entry.sha256:
            raise reader.damaged(f"{member.name} is not what was written")
        progress(f"Reading the files … {count:,}")
    if count != (manifest.files.included or 0):
        raise reader.damaged(f"it holds {count:,} of {manifest.files.included or 0:,} files")
    return manifest


def restore(
    url: str, storage: Storage, path: Path, wishes: RestoreOptions, progress: Progress = lambda _text: None
) -> RestoreResult:
    """Put the backup into the empty database at ``url`` and its files into the storage, and check all of it.

    Raises Conflict where the database or the storage is in use, BackupError where the backup is damaged or does not fit,
    and Unavailable while the storage is away; the database is empty then as before, and the files that came stay.
    """
    manifest = verify(path, progress)
    reader = Reader(path)
    with boot.preparation_lock(url):
        server = _require_fitting(url, manifest)
        programs = find_matching(max(_major(manifest.pg_dump), server), "To restore this backup")
        if manifest.files.included is not None:
            _restore_files(reader, storage, wishes, progress)
        progress("Looking at the files …")
        found = files.compare(files.listed(reader), storage, contents=manifest.files.included is not None)
        script.run(
            programs,
            url,
            reader.open(reader.parts[DUMP]),
            server=server,
            finish=lambda ask: _finish(ask, manifest, wishes, progress),
            progress=lambda sent: progress(f"Restoring the database … {sent / 1e6:,.0f} MB"),
        )
        progress("Gathering statistics …")
        # All is there already, and where this is cut short the server's own care comes to it later.
        with suppress(psycopg.Error, KeyboardInterrupt), psycopg.connect(url, autocommit=True) as connection:
            connection.execute("ANALYZE")
    return RestoreResult(manifest, found, manifest.migration != migrations.head())


_OF_THE_CLOCK = ("public.job_errors", "public.schedule_runs")


def compare(url: str, path: Path, progress: Progress = lambda _text: None) -> list[str]:
    """A sentence for each table of the database at ``url`` that is not as in the backup; raises BackupError.

    The job queue is left out, with how its jobs failed: to restore it is to begin anew what was in flight, or to leave it
    empty. So is what the clock did, among it that this very backup was made. Of deliveries, sessions and webhooks that the restore itself has ended, the number of rows alone is compared.
    """
    manifest = _manifest(Reader(path))
    with connect(url) as connection:
        ask = query_runner(connection)
        found = tables.facts(ask, lambda name: progress(f"Counting {name} …"))
        ended = {name for name, one in _ENDED_BY_RESTORE.items() if name in found and json.loads(ask(one))}
    return tables.differences(_lasting(manifest.tables, ended), _lasting(found, ended))


def _lasting(facts: Mapping[str, tables.Facts], ended: Collection[str]) -> dict[str, tables.Facts]:
    """What a restore does not change: without the queue, and without the content of the tables in ``ended``."""
    return {
        name: replace(fact, checksum="") if name in ended else fact
        for name, fact in facts.items()
        if "procrastinate_" not in name and name not in _OF_THE_CLOCK
    }


def _manifest(reader: Reader) -> Manifest:
    try:
        manifest = Manifest.load(reader.text(MANIFEST))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise reader.damaged(f"{MANIFEST} cannot be understood") from None
    if manifest.format > FORMAT:
        raise BackupError(f"{reader.path} was made by a newer version of this program: restore it with that one.")
    return manifest


def _require_fitting(url: str, manifest: Manifest) -> int:
    """The major version of the server; raises where the backup cannot go there."""
    if manifest.migration and manifest.migration not in migrations.revisions():
        raise BackupError(
            f"The backup is at migration {manifest.migration}, which this version does not know: install "
            f"marketplace-api {manifest.application} or newer, and restore with that."
        )
    with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
        server = connection.info.server_version // 10_000
        if server < _major(manifest.server):
            raise BackupError(
                f"The backup is of PostgreSQL {_major(manifest.server)} and the server is {server}: restore into "
                f"version {_major(manifest.server)} or newer."
            )
        if (count := int(query_runner(connection)(tables.OBJECTS))) > 0:
            raise Conflict(
                f"The database {connection.info.dbname} is not empty ({count} tables, sequences and functions), and a "
                "restore overwrites nothing: make a new one (createdb NAME) and name it in DATABASE_URL; with the "
                "embedded server name another DATA_DIR."
            )
        _require_there(connection, manifest)
    return server


def _require_there(connection: psycopg.Connection[Any], manifest: Manifest) -> None:
    there = {name for (name,) in connection.execute("SELECT name FROM pg_available_extensions").fetchall()}
    if missing := sorted(set(manifest.extensions) - there):
        raise BackupError(
            f"The server lacks {', '.join(missing)}: install the package with its contributed modules "
            "(postgresql-contrib) there."
        )
    known = {name for (name,) in connection.execute("SELECT rolname FROM pg_roles").fetchall()}
    if strangers := [name for name in manifest.roles if name not in known]:
        commands = " ".join(f'CREATE ROLE "{name}";' for name in strangers)
        raise BackupError(f"Grants of the backup name roles that the server does not know; say there first: {commands}")


def _restore_files(reader: Reader, storage: Storage, wishes: RestoreOptions, progress: Progress) -> None:
    """The files of the backup into the storage; those that are there already, byte for byte, stay."""
    progress("Looking at the storage …")
    found = files.compare(files.listed(reader), storage, contents=True)
    if found.damaged_count:
        raise Conflict(
            f"The storage holds {found.damaged_count:,} files of the same names and other content, such as "
            f"{found.damaged[0]}, and a restore overwrites nothing: name an empty one (DATA_DIR or S3_BUCKET)."
        )
    if found.strays_count and not wishes.beside_other_files:
        raise Conflict(
            f"The storage holds {found.strays_count:,} files that the backup does not know, such as {found.strays[0]}: "
            "name an empty one (DATA_DIR or S3_BUCKET), or say --beside-other-files."
        )
    for count, (entry, member) in enumerate(files.members(reader), 1):
        if storage.find(entry.key) is None:
            with reader.open(member) as content:
                storage.put(entry.key, content)
        progress(f"Restoring files … {count:,}")


def _finish(ask: tables.Ask, manifest: Manifest, wishes: RestoreOptions, progress: Callable[[str], None]) -> None:
    """What came must be what went; then what is not wanted goes, and jobs that nobody does any more wait again."""
    for setting in tables.PLAIN_TEXT:
        ask(setting)
    told = tables.differences(manifest.tables, tables.facts(ask, lambda name: progress(f"Counting {name} …")))
    if told:
        raise BackupError(f"What came is not what the backup holds, and nothing was restored: {'; '.join(told)}.")
    ask("SET LOCAL search_path = public")
    changes: tuple[str, ...] = ()
    if "public.procrastinate_jobs" in manifest.tables:
        changes += _NO_JOBS if wishes.without_jobs else _JOBS_BEGIN_ANEW
    if wishes.without_jobs and "public.deliveries" in manifest.tables:
        changes += _NO_DELIVERIES
    if wishes.without_jobs and "public.webhook_endpoints" in manifest.tables:
        changes += _NO_WEBHOOKS
    if wishes.end_sessions and "public.sessions" in manifest.tables:
        changes += _END_SESSIONS
    for change in changes:
        ask(change)


def _major(version: str) -> int:
    return int(version.partition(".")[0])
