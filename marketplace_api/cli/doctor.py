"""`marketplace-admin doctor`: what is wrong with this installation, and what to do about it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from marketplace_api.cli.context import Context, pass_context

if TYPE_CHECKING:
    from marketplace_api.settings import Settings

MOST_SECONDS_OFF = 5
LEAST_FREE_BYTES = 500_000_000


@dataclass(frozen=True, slots=True)
class Finding:
    """``state`` is ``ok``, ``warning`` (works, but mind it) or ``problem``; a problem makes the exit code 1."""

    check: str
    state: str
    detail: str
    remedy: str = ""


@click.command()
@pass_context
def doctor(context: Context) -> None:
    """Check settings, secrets, folders, database, migrations, jobs, clock and mail.

    Starts and changes nothing: an embedded server that does not run is only told.

    Example: `marketplace-admin --ini production.ini doctor`
    """
    findings = list(_findings(context))
    context.output.rows(
        ("check", "state", "detail", "remedy"),
        [{"check": f.check, "state": f.state, "detail": f.detail, "remedy": f.remedy} for f in findings],
    )
    problems = sum(finding.state == "problem" for finding in findings)
    context.output.remark(f"{problems} problem{'s' * (problems != 1)} found.")
    if problems:
        raise SystemExit(1)


def _findings(context: Context) -> Iterator[Finding]:
    from marketplace_api.settings import SettingsError, strange_keys

    try:
        settings = context.settings
    except SettingsError as error:
        for mistake in error.mistakes:
            yield Finding("settings", "problem", mistake.problem, mistake.remedy or "Mend what the sentence names.")
        return
    yield Finding("settings", "ok", f"{settings.environment}, from {context.ini_path}")
    for mistake in strange_keys(context.app_section):
        yield Finding("settings", "warning", mistake.problem, mistake.remedy)
    yield _secrets(settings)
    yield _folder("data folder", settings.data_dir)
    yield _storage(settings)
    yield from _database(settings)
    yield _mail(settings)


def _secrets(settings: Settings) -> Finding:
    from marketplace_api.settings import DEVELOPMENT_SECRET

    # Production would not have come this far with a missing or short one.
    if settings.secret == DEVELOPMENT_SECRET:
        return Finding("secrets", "ok", "the public development secret; never use it on the internet")
    return Finding("secrets", "ok", "set")


def _folder(check: str, folder: Path) -> Finding:
    """Whether we may write there, or may make it: found out without trying."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        remedy = f"Give this user the right to write in {there}, or set DATA_DIR."
        return Finding(check, "problem", f"{folder} cannot be {'written' if there == folder else 'made'}", remedy)
    facts = os.statvfs(there)
    free = facts.f_bavail * facts.f_frsize
    if free < LEAST_FREE_BYTES:
        return Finding(check, "warning", f"{folder}: only {free // 1_000_000} MB are free", "Free some space.")
    made = "" if there == folder else ", which the start will make"
    return Finding(check, "ok", f"{folder}{made}, {free // 1_000_000_000} GB free")


def _storage(settings: Settings) -> Finding:
    from marketplace_api.gateways.storage import make_storage
    from marketplace_api.settings import SettingsError

    if settings.storage_backend == "local":
        return _folder("files", settings.data_dir / "files")
    try:
        # A bucket tells only by being written to; what is put there is taken away at once.
        return _attempt("files", make_storage(settings).check, f"can be kept in the bucket {settings.storage_bucket}")
    except SettingsError as error:
        return _problem("files", error)


def _database(settings: Settings) -> Iterator[Finding]:
    from marketplace_api import boot

    try:
        found = boot.find_database(settings)
        if found is None:
            yield Finding(
                "database",
                "warning",
                f"the embedded PostgreSQL in {settings.data_dir / 'postgres'} is not running, so database, migrations, "
                "clock and jobs were not looked at",
                "Start it in another terminal: make run, marketplace-admin up or pserve development.ini.",
            )
            return
        with boot.opened(replace(settings, database_url=found)) as databases:
            url = boot.connection_url(databases)
            facts = boot.server_facts(url)
            yield Finding("database", "ok", f"PostgreSQL {facts.version} at {url.rpartition('@')[2]}")
            yield _attempt("extensions", lambda: boot.check_extensions(url), "all there or installable")
            yield _migrations(boot.current_revision(url))
            yield _clock(facts.now)
            if facts.workers is not None and facts.failed_jobs is not None:
                yield _jobs(facts.workers, facts.failed_jobs)
    except boot.BootError as error:
        yield _problem("database", error)


def _migrations(revision: str | None) -> Finding:
    from marketplace_api import migrations

    newest = migrations.head()
    if revision == newest:
        return Finding("migrations", "ok", f"at {revision}, the newest")
    return Finding(
        "migrations",
        "problem",
        f"at {revision or 'nothing'}, but {newest} is expected",
        "marketplace-admin db upgrade",
    )


def _clock(database_now: datetime) -> Finding:
    seconds = abs((datetime.now(UTC) - database_now).total_seconds())
    if seconds > MOST_SECONDS_OFF:
        return Finding(
            "clock",
            "problem",
            f"differs from the database's by {seconds:.0f} s",
            "Turn time synchronisation (NTP) on.",
        )
    return Finding("clock", "ok", "agrees with the database's")


def _jobs(workers: int, failed: int) -> Finding:
    if workers == 0:
        return Finding("jobs", "warning", "no worker is running, so no mail is sent", "marketplace-admin jobs run")
    if failed:
        return Finding("jobs", "warning", f"{failed} failed", "marketplace-admin jobs list --status failed")
    return Finding("jobs", "ok", f"{workers} worker{'s' * (workers != 1)}, none failed")


def _mail(settings: Settings) -> Finding:
    from marketplace_api.gateways.email import SmtpMailer

    if settings.email_backend == "smtp":
        mailer = SmtpMailer.from_url(settings.smtp_url)
        return _attempt("mail", mailer.check, f"{mailer.host}:{mailer.port} lets us in")
    if settings.production:
        remedy = "Set EMAIL_BACKEND=smtp and SMTP_URL=smtp://user:password@host:587?starttls=1."
        return Finding("mail", "warning", "written to files, sent to nobody", remedy)
    return Finding("mail", "ok", f"written to {settings.data_dir / 'mail'}")


def _attempt(check: str, action: Callable[[], None], success: str) -> Finding:
    from marketplace_api.boot import BootError
    from marketplace_api.errors import Unavailable

    try:
        action()
    except (BootError, Unavailable) as error:
        return _problem(check, error)
    return Finding(check, "ok", success)


def _problem(check: str, error: Exception) -> Finding:
    """Sentences that say what to do say it after a colon."""
    detail, _, remedy = str(error).partition(": ")
    return Finding(check, "problem", detail, f"{remedy[:1].upper()}{remedy[1:]}" or "Mend what the sentence names.")
