"""`marketplace-admin db backup`, `restore`, `verify` and `check`: all of it in one file, back again, and is it whole?"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from marketplace_api.cli.bulk import counted
from marketplace_api.cli.context import Context, pass_context
from marketplace_api.cli.exit_codes import PARTLY_DONE
from marketplace_api.cli.files import refuse_existing
from marketplace_api.cli.terminal import say

if TYPE_CHECKING:
    from marketplace_api.backup.files import Found
    from marketplace_api.backup.manifest import Manifest
    from marketplace_api.database.engines import Databases

_EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)
MOST_NAMED = 20
_NEW = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("file", type=_NEW, help="The file to make; one that is there is replaced with --yes only.")
@click.option("--with-files", is_flag=True, help="Put photos, videos and sealed documents in, too.")
@pass_context
def backup(context: Context, file: Path, with_files: bool) -> None:
    """Write the whole database to FILE, as it is at one moment, while the service goes on.

    FILE is a tar archive: database.dump (for pg_restore), files.jsonl, files/, manifest.json, SHA256SUMS. Keys and secrets
    are not in it. See docs/backup.md.

    Example: `marketplace-admin --ini production.ini db backup /backups/monday.tar --with-files`
    """
    from marketplace_api.backup import dump, success
    from marketplace_api.gateways.storage import make_storage

    refuse_existing(context, file)
    begun = time.monotonic()
    with (
        context.databases() as databases,
        _interruptible(f"Interrupted: nothing is left of {file}."),
        context.output.working("Beginning …") as progress,
    ):
        storage = make_storage(context.settings)
        url = _owners_url(databases)
        made = dump.create(url, storage, file, with_files=with_files, progress=progress, replace=context.yes)
        is_noted = not made.manifest.files.damaged and success.note(url, made.manifest.made_at)
    manifest, seconds = made.manifest, round(time.monotonic() - begun, 1)
    sentence = f"{file}: {made.size / 1e6:,.1f} MB, {_description(manifest)}, in {seconds} s."
    values = {"file": str(file), "bytes": made.size, "seconds": seconds, **_values(manifest)}
    context.output.record(values, "\n".join([sentence, *_remarks(manifest)]))
    if not (is_noted or manifest.files.damaged):
        context.output.remark("The backup is whole, but could not be noted in the database: monitors see an older one.")
    if manifest.files.damaged:
        for key in manifest.files.damaged:
            say(f"{key}: the storage has lost or changed it, so it is not in the backup.", err=True)
        raise SystemExit(PARTLY_DONE)


@click.command()
@click.argument("file", type=_EXISTING, help="What `db backup` made.")
@click.option(
    "--without-jobs",
    is_flag=True,
    help="Leave the job queue empty and webhooks switched off: nothing is sent that may have been sent.",
)
@click.option("--end-sessions", is_flag=True, help="End all sessions: everybody has to log in again.")
@click.option("--beside-other-files", is_flag=True, help="Allow files in the storage that the backup does not know.")
@pass_context
def restore(context: Context, file: Path, without_jobs: bool, end_sessions: bool, beside_other_files: bool) -> None:
    """Put FILE into an empty database, and the files in it into the storage; all of it, checked, or nothing.

    Nothing is overwritten: a database that is not empty, and files of the same name and other content, are refused. See
    docs/backup.md.

    Example: `marketplace-admin --ini production.ini db restore /backups/monday.tar`
    """
    from marketplace_api.backup import restore as backup_restore
    from marketplace_api.gateways.storage import make_storage

    begun = time.monotonic()
    wishes = backup_restore.RestoreOptions(without_jobs, end_sessions, beside_other_files)
    with (
        context.databases(may_make=True) as databases,
        _interruptible("Interrupted: the database is empty as before; files that came stay, and are no obstacle."),
        context.output.working("Reading …") as progress,
    ):
        url = _owners_url(databases)
        done = backup_restore.restore(url, make_storage(context.settings), file, wishes, progress)
    seconds = round(time.monotonic() - begun, 1)
    told = [f"Restored and checked in {seconds} s: {_description(done.manifest)}."]
    if unknown := sorted(set(done.manifest.document_keys) - _document_keys(context)):
        told.append(f"DOCUMENT_KEYS lacks {', '.join(unknown)}: documents sealed with that cannot be opened.")
    if without_jobs:
        told.append("Nothing that waited is sent, and webhooks are switched off: marketplace-admin webhooks enable ID.")
    if done.needs_upgrade:
        told.append("It is of an older version: run `marketplace-admin db upgrade`.")
    found = done.files
    values = {"seconds": seconds, **_values(done.manifest), "unknown_document_keys": unknown, **_counts(found)}
    context.output.record({**values, "needs_upgrade": done.needs_upgrade}, "\n".join(told))
    if _name_files(found):
        context.output.remark("Once their copy is there: marketplace-admin db check --files")
        raise SystemExit(PARTLY_DONE)


@click.command()
@click.argument("file", type=_EXISTING, help="What `db backup` made.")
@pass_context
def verify(context: Context, file: Path) -> None:
    """Read all of FILE and hold it against its checksums; needs no database and no settings.

    Example: `marketplace-admin db verify /backups/monday.tar`
    """
    from marketplace_api.backup import restore as backup_restore

    with context.output.working("Reading …") as progress:
        manifest = backup_restore.verify(file, progress)
    sentence = f"{file} is whole: {_description(manifest)}, made at {manifest.made_at}."
    context.output.record({"file": str(file), **_values(manifest)}, "\n".join([sentence, *_remarks(manifest)]))


@click.command()
@click.option("--files", "with_files", is_flag=True, help="Look whether the storage has every file, in its size.")
@click.option("--contents", is_flag=True, help="Read every file, too, and compare its checksum.")
@click.option("--against", type=_EXISTING, metavar="BACKUP", help="Compare every table with this backup.")
@pass_context
def check(context: Context, with_files: bool, contents: bool, against: Path | None) -> None:
    """Compare the migrated schema with the models, and more if wanted; exit code 1 if anything is wrong.

    Indexes that are not valid and constraints that were never validated are findings as well.

    Example: `marketplace-admin db check --files`
    """
    from alembic.util.exc import CommandError

    from marketplace_api.backup import restore as backup_restore
    from marketplace_api.backup import verify as backup_verify
    from marketplace_api.database import migrations
    from marketplace_api.gateways.storage import make_storage

    found: Found | None = None
    with context.databases() as databases, context.output.working("Checking …") as progress:
        url = _owners_url(databases)
        findings = backup_verify.schema_faults(url)
        try:
            migrations.check(url)
        except CommandError as error:
            findings.insert(0, str(error))
        if against is not None:
            findings += backup_restore.compare(url, against, progress)
        if with_files or contents:
            progress("Looking at the files …")
            found = backup_verify.files_of(url, make_storage(context.settings), contents=contents)
    values = {"check": "failed" if findings else "ok", "findings": findings, **(_counts(found) if found else {})}
    is_broken = found is not None and _name_files(found)
    if findings or is_broken:
        values["check"] = "failed"
        context.output.record(
            values, "\n".join(findings) or "The schema is what the models say, but files are not there."
        )
        raise SystemExit(1)
    more = f" {_files_text(found)}" if found else ""
    same = " All tables are as in the backup." if against else ""
    context.output.record(values, f"The schema is what the models say.{same}{more}")


def _owners_url(databases: Databases) -> str:
    """Who may read and make everything: the one place where backups choose whom they connect as."""
    from marketplace_api import boot

    return boot.connection_url(databases)


def _document_keys(context: Context) -> set[str]:
    from marketplace_api.config.parsing import document_keys
    from marketplace_api.gateways.document_cipher import DEVELOPMENT_KEY_ID

    given = context.settings.document_keys
    return set(document_keys(given)) if given else {DEVELOPMENT_KEY_ID}


@contextmanager
def _interruptible(sentence: str) -> Iterator[None]:
    """Ctrl-C, and SIGTERM as well, end the block in good order and with this ``sentence``."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        raise click.ClickException(sentence) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def _description(manifest: Manifest) -> str:
    files = manifest.files
    inside = f"{files.included:,} of {files.stored:,} files" if files.included is not None else "no files"
    return f"{len(manifest.tables)} tables with {manifest.rows:,} rows at migration {manifest.migration or 'none'}, {inside}"


def _remarks(manifest: Manifest) -> Sequence[str]:
    files, told = manifest.files, []
    if files.included is None and files.stored:
        told.append(
            f"The {files.stored:,} files ({files.bytes / 1e6:,.1f} MB) are not in it (--with-files): copy the storage."
        )
    if files.gone:
        told.append(f"{len(files.gone):,} files were deleted meanwhile; the restored database will miss them.")
    if keys := ", ".join(f"{key} ({count:,})" for key, count in manifest.document_keys.items()):
        told.append(f"Sealed documents by the key in DOCUMENT_KEYS that opens them: {keys}. No key is in the backup.")
    return told


def _values(manifest: Manifest) -> Mapping[str, Any]:
    files = manifest.files
    return {
        "made_at": manifest.made_at,
        "migration": manifest.migration,
        "tables": len(manifest.tables),
        "rows": manifest.rows,
        "files": files.stored,
        "files_bytes": files.bytes,
        "files_included": files.included,
        "files_gone": files.gone,
        "files_damaged": files.damaged,
        "document_keys": manifest.document_keys,
    }


def _counts(found: Found) -> Mapping[str, Any]:
    return {
        "files_present": found.present,
        "files_missing": found.missing,
        "files_changed": found.damaged,
        "files_strays": found.strays_count,
        "files_young": found.young_count,
    }


def _files_text(found: Found) -> str:
    """How many files are there, and what lies beside them, as far as that is looked at."""
    are = "is" if found.present == 1 else "are"
    sentence = (
        f"{counted(found.present, 'file')} {are} there, and {counted(found.strays_count, 'other')} beside "
        f"{'it' if found.present == 1 else 'them'} that nothing names."
    )
    if found.young_count:
        sentence += (
            f" {counted(found.young_count, 'more file')}, younger than an hour, may belong to what is being done and "
            f"{'is' if found.young_count == 1 else 'are'} not counted."
        )
    return f"{sentence} What is not named and laid out as the service does is not looked at."


def _name_files(found: Found) -> bool:
    """How many files are not as they should be, with a line for the first of them; returns whether there are any."""
    for what, keys, count, each in (
        ("missing", found.missing, found.missing_count, "the storage does not have it"),
        ("changed", found.damaged, found.damaged_count, "the storage has something else under this name"),
    ):
        for key in keys[:MOST_NAMED]:
            say(f"{key}: {each}.", err=True)
        if count:
            told = f"{counted(count, 'file')} {'is' if count == 1 else 'are'} {what}"
            if count > MOST_NAMED:
                told += (
                    f"; the first {MOST_NAMED} are above, {'all' if count == len(keys) else f'{len(keys):,}'} of them under "
                    f"files_{what} in what this tells: marketplace-admin --json db check "
                    f"{'--files' if what == 'missing' else '--contents'}"
                )
            say(f"{told}.", err=True)
    return bool(found.missing_count or found.damaged_count)
