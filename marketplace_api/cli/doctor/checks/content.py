"""What the database says about work in progress: jobs, files, sealed documents and secrets."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import islice

from marketplace_api.cli.doctor.checks.findings import Finding, Installation, ok, problem, warning
from marketplace_api.config.settings import Settings, SettingsError
from marketplace_api.diagnostics.inspector import DatabaseInspector, ServerFacts
from marketplace_api.diagnostics.queries import QueueFacts
from marketplace_api.domain.media.files.store import KINDS
from marketplace_api.domain.outbound.webhooks import signing
from marketplace_api.errors import Unavailable
from marketplace_api.gateways.document_cipher import DocumentKeys
from marketplace_api.gateways.storage import make_storage

MOST_WAITING_SECONDS = 15 * 60
SWEEP_EVERY_SECONDS = 3600
NEWEST = 10
"""Photos, videos, profile pictures and documents that are looked for in the storage, of each."""
SAMPLE = 100
"""Files of each kind that are held against their rows."""


def jobs(_installation: Installation, _url: str, inspector: DatabaseInspector, facts: ServerFacts) -> Iterator[Finding]:
    """Whether the queues are worked on."""
    if not facts.has_queue:
        return
    workers, queues = inspector.workers(), inspector.queues()
    found = [*_queues(workers, queues), *_retried(inspector)]
    yield from found
    if not found:
        todo = sum(queue.todo for queue in queues)
        yield ok("jobs", f"{workers} worker{'s' * (workers != 1)}, {todo} waiting, none failed")


def _queues(workers: int, queues: list[QueueFacts]) -> Iterator[Finding]:
    failed, stalled = sum(queue.failed for queue in queues), sum(queue.stalled for queue in queues)
    if workers == 0:
        yield warning("jobs", "no worker is running, so no mail is sent", "marketplace-admin jobs run")
    if failed:
        remedy = (
            "marketplace-admin jobs list --status failed, mend the cause, then marketplace-admin jobs retry --failed"
        )
        yield warning("failed jobs", f"{failed} failed", remedy)
    if stalled:
        told = f"{stalled} are held by workers that gave no sign of life for two minutes"
        yield warning("stalled jobs", told, "Start a worker, which takes them over: marketplace-admin jobs run")
    for queue in queues:
        if queue.oldest_seconds > MOST_WAITING_SECONDS:
            told = f"the oldest of {queue.todo} in {queue.queue} waits for {queue.oldest_seconds / 60:.0f} minutes"
            remedy = (
                f"Start more workers (marketplace-admin jobs run --queue {queue.queue}), and look into their log for "
                "what is slow."
            )
            yield warning("oldest job", told, remedy)


def _retried(inspector: DatabaseInspector) -> Iterator[Finding]:
    for queue in inspector.retried(MOST_WAITING_SECONDS):
        told = (
            f"{queue.jobs} in {queue.queue} failed and will be tried again, the first since {queue.seconds / 60:.0f} minutes "
            f"(up to {queue.attempts} attempts)"
        )
        remedy = (
            f"marketplace-admin jobs list --status todo --queue {queue.queue} tells their errors; mend the cause, then "
            "marketplace-admin jobs retry --waiting tries them now."
        )
        yield warning("retried jobs", told, remedy)


def admins(
    _installation: Installation, _url: str, inspector: DatabaseInspector, _facts: ServerFacts
) -> Iterator[Finding]:
    """Whether anybody could give others their roles."""
    if inspector.lacks_admin():
        yield warning("admins", "no active account has the role admin", "marketplace-admin users set-role USER admin")


def schedule(
    _installation: Installation, _url: str, inspector: DatabaseInspector, facts: ServerFacts
) -> Iterator[Finding]:
    """Whether everything that should run by the clock did."""
    if not facts.has_runs:
        return
    late = [run for run in inspector.runs() if run.overdue_seconds > MOST_WAITING_SECONDS]
    for run in late:
        told = (
            f"{run.task} should have succeeded {run.overdue_seconds / 60:.0f} minutes ago; its last run: {run.outcome}"
        )
        remedy = "marketplace-admin jobs schedule; a failed run has a line schedule.failed in the log of the workers."
        yield warning("schedule", told, remedy)
    if not late:
        yield ok("schedule", "nothing is overdue")


def deliveries(
    _installation: Installation, _url: str, inspector: DatabaseInspector, _facts: ServerFacts
) -> Iterator[Finding]:
    """Whether notifications leave the house."""
    ways = inspector.deliveries()
    put_off = inspector.put_off() if ways else {}
    for way in ways:
        if way.oldest_seconds > MOST_WAITING_SECONDS:
            told = f"the oldest of {way.due} by {way.channel} waits for {way.oldest_seconds / 60:.0f} minutes"
            remedy = "Start a worker; if one runs, its log says delivery.put_off and why."
            yield warning("late notifications", told, remedy)
        if way.failed:
            remedy = (
                f"marketplace-admin deliveries list --status failed --channel {way.channel}, mend the cause, then "
                f"marketplace-admin deliveries retry --failed --channel {way.channel}"
            )
            yield warning("failed notifications", f"{way.failed} by {way.channel} failed", remedy)
        if count := put_off.get(way.channel):
            told = f"{count} by {way.channel} failed and wait for their next attempt, up to six hours each"
            remedy = (
                f"marketplace-admin deliveries list --status due --channel {way.channel} tells their errors; mend the cause, "
                f"then marketplace-admin deliveries retry --waiting --channel {way.channel} tries them now."
            )
            yield warning("retried notifications", told, remedy)
    if ways and not put_off and not any(way.failed or way.oldest_seconds > MOST_WAITING_SECONDS for way in ways):
        yield ok("notifications", f"{sum(way.due for way in ways)} due, none failed")


def files(installation: Installation, _url: str, inspector: DatabaseInspector, facts: ServerFacts) -> Iterator[Finding]:
    """Whether files and their rows belong together, by a sample."""
    if not (facts.has_files and facts.has_queue):
        return
    found = inspector.files()
    if found.missing:
        told = f"{found.missing} that listings, people or verifications need are gone from the storage"
        remedy = "Bring them back from the last backup of DATA_DIR/files or the bucket; the hourly sweep finds them."
        yield warning("lost files", told, remedy)
    if facts.has_documents:
        yield from _present(installation, inspector)
    overdue = found.swept_seconds is not None and found.swept_seconds > 3 * SWEEP_EVERY_SECONDS
    if overdue or found.unfinished:
        told = f"{found.unfinished} uploads that broke off lie about; files should be swept every hour and were not"
        remedy = (
            "Start a worker (marketplace-admin jobs run); if one runs, see marketplace-admin jobs list --status failed."
        )
        yield warning("file sweep", told, remedy)
    else:
        yield ok("file sweep", "nothing lies about")
    try:
        strays = inspector.unknown_keys(list(_old_keys(installation.settings)))
    except (Unavailable, SettingsError):
        return  # told by the check of the storage itself
    if strays:
        told = f"{len(strays)} of a sample belong to no row of this database, such as {strays[0]}"
        remedy = (
            "Check that DATABASE_URL and the storage (DATA_DIR or S3_BUCKET) belong together; if they do, the hourly "
            "sweep deletes a few by itself and logs files.apart for many."
        )
        yield warning("stray files", told, remedy)


def _present(installation: Installation, inspector: DatabaseInspector) -> Iterator[Finding]:
    """Whether the newest files are there at all: a folder that was deleted, or a bucket that was emptied, can be written."""
    keys = inspector.newest_files(NEWEST)
    try:
        storage = make_storage(installation.settings)
        with ThreadPoolExecutor(8) as pool:
            lost = [key for key, file in zip(keys, pool.map(storage.find, keys), strict=True) if file is None]
    except (Unavailable, SettingsError):
        return  # told by the check of the storage itself
    lost = inspector.still_stored(lost)  # without those that were deleted meanwhile
    if not lost:
        if keys:
            yield ok("stored files", f"the newest {len(keys)} are there")
        return
    settings = installation.settings
    place = f"the bucket {settings.storage_bucket}" if settings.storage_backend == "s3" else settings.data_dir / "files"
    told = f"{len(lost)} of the newest {len(keys)} are not in {place}, such as {lost[0]}"
    remedy = (
        "Look whether DATA_DIR or S3_BUCKET names the right place; if it does, bring the files back from the last backup "
        "(docs/backup.md). `marketplace-admin db check --files` names all that are missing."
    )
    yield problem("stored files", told, remedy)


def _old_keys(settings: Settings) -> Iterator[str]:
    """Keys of some files that are no longer being written."""
    storage, before = make_storage(settings), datetime.now(UTC) - timedelta(hours=2)
    for kind in KINDS:
        yield from (file.key for file in islice(storage.walk(f"{kind}-"), SAMPLE) if file.modified < before)


def documents(
    installation: Installation, _url: str, inspector: DatabaseInspector, facts: ServerFacts
) -> Iterator[Finding]:
    """Whether all keys are at hand that open documents."""
    if not facts.has_documents:
        return
    try:
        keys = DocumentKeys.from_settings(installation.settings)
    except SettingsError as error:
        for mistake in error.mistakes:
            yield problem("document keys", mistake.problem, mistake.remedy)
        return
    sealed = inspector.document_keys()
    lacking = {key_id: count for key_id, count in sealed.items() if not keys.knows(key_id)}
    if lacking:
        told = ", ".join(f"{count} sealed under {key_id}" for key_id, count in sorted(lacking.items()))
        remedy = (
            "Add that key behind the present one in DOCUMENT_KEYS (new:…,old:…) and restart; drop a key only after "
            "marketplace-admin keys rotate-documents leaves none."
        )
        yield problem("document keys", f"documents cannot be opened: {told}, a key that is not set", remedy)
    else:
        yield ok("document keys", f"{sum(sealed.values())} documents, all of which can be opened")


def webhook_secrets(
    installation: Installation, _url: str, inspector: DatabaseInspector, _facts: ServerFacts
) -> Iterator[Finding]:
    """Whether what is sent to webhooks can be signed."""
    sealed = inspector.webhook_secrets()
    lost = [str(number) for number, secret in sealed.items() if not signing.opened(installation.settings, [secret])]
    if lost:
        told = (
            f"nothing can be signed for {', '.join(lost)}: MARKETPLACE_SECRET is not the one that sealed their secrets"
        )
        remedy = (
            "If it was changed by mistake, put the old one back. Else marketplace-admin webhooks rotate-secret "
            f"{' '.join(lost)}, and give each receiver its new secret; what failed meanwhile: webhooks resend ID --failed."
        )
        yield problem("webhook secrets", told, remedy)
    elif sealed:
        yield ok("webhook secrets", f"{len(sealed)}, all of which can be opened")
