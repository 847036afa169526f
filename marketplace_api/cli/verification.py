"""`marketplace-admin verification`: what waits for a decision, documents opened on the record, and decisions."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import rich_click as click

from marketplace_api.cli.bulk import LARGEST_ID, Work, do_each, dry_run_option, ids_argument
from marketplace_api.cli.context import Context, pass_context
from marketplace_api.cli.files import FILE, is_stdout, written
from marketplace_api.cli.param_types import REASON, SINCE, UNTIL, asked_reason

STATES = ("pending", "approved", "rejected", "expired")
COLUMNS = (
    "verification_id",
    "user_id",
    "username",
    "status",
    "document_type",
    "document_name",
    "date_submitted",
    "date_decided",
    "expires_at",
)
LISTING_COLUMNS = ("listing_id", "user_id", "title", "status", "price", "currency", "waiting_since")
SHOWN = (
    "verification_id",
    "user_id",
    "username",
    "status",
    "document_type",
    "document_name",
    "media_type",
    "date_submitted",
    "date_decided",
    "decided_by",
    "reason",
    "expires_at",
    "documents_purged_at",
    "version",
)
EVENT_COLUMNS = ("date_created", "type", "actor", "reason", "request_id")

_id_argument = click.argument(
    "verification_id", metavar="ID", type=click.IntRange(1, LARGEST_ID), help="As `verification list` shows it."
)


@click.group()
def verification() -> None:
    """Who and what is verified. Documents are opened on the record only."""


@verification.command("list")
@click.option(
    "--kind",
    type=click.Choice(("account", "listing")),
    default="account",
    show_default=True,
    help="Accounts and their documents, or listings that wait for the badge.",
)
@click.option(
    "--status",
    type=click.Choice((*STATES, "all")),
    default="pending",
    show_default=True,
    help="In this state; listings are only listed while they wait.",
)
@click.option("--sent-before", type=SINCE, metavar="WHEN", help="A date, a time, or an age: 7d is what waits longer.")
@click.option("--limit", type=click.IntRange(1, 100), default=50, show_default=True, help="Rows at most.")
@click.option("--after", type=click.IntRange(0), default=0, metavar="ID", help="Begin behind this id (accounts).")
@pass_context
def list_verifications(
    context: Context, *, kind: str, status: str, sent_before: datetime | None, limit: int, after: int
) -> None:
    """Show what waits for a decision, the oldest first.

    Example: `marketplace-admin --json verification list --sent-before 7d`
    """
    from marketplace_api.domain.catalog.listings import review_queue
    from marketplace_api.domain.kernel.paging import PageRequest
    from marketplace_api.domain.trust.verifications import reading

    if kind == "listing" and (status != "pending" or after):
        raise click.UsageError(
            "Listings are listed while they wait, the longest waiting first: no --status, no --after."
        )
    with context.databases() as databases, databases.session() as session:
        if kind == "listing":
            found = review_queue.list_page(session, PageRequest(limit=limit)).items
            columns: tuple[str, ...] = LISTING_COLUMNS
            # The longest waiting come first, so what is too young are the last of them.
            rows = [row for row in found if sent_before is None or row.waiting_since <= sent_before]
        else:
            wanted = None if status == "all" else status
            rows = list(
                reading.list_for_operators(session, status=wanted, before=sent_before, limit=limit, after=after)
            )
            columns = COLUMNS
    context.output.rows(columns, [{name: getattr(row, name) for name in columns} for row in rows])
    if len(rows) == limit and kind == "account":
        context.output.remark(f"There may be more: --after {rows[-1].verification_id}")


@verification.command()
@_id_argument
@pass_context
def show(context: Context, verification_id: int) -> None:
    """Show one verification of an account, and what happened to it: who opened the document, when and why.

    Example: `marketplace-admin verification show 7`
    """
    from marketplace_api.domain.trust.verifications import queries as rows
    from marketplace_api.domain.trust.verifications import reading

    with context.databases() as databases, databases.session() as session:
        row = rows.find(session, verification_id)
        if row is None:
            raise rows.absent()
        shown: dict[str, Any] = {name: getattr(row, name) for name in SHOWN}
        history = [dict(event._mapping) for event in reading.history(session, verification_id)]
    if context.for_programs:
        context.output.record({**shown, "history": history})
        return
    context.output.record(shown)
    context.output.rows(EVENT_COLUMNS, history)


@verification.command("open")
@_id_argument
@click.option(
    "--to",
    "target",
    required=True,
    metavar="FILE",
    type=FILE,
    help="A new file, which nobody else can read; `-` is standard output, if that is no terminal.",
)
@click.option("--reason", type=REASON, help="Why; goes into the audit trail. Asked for on a terminal.")
@pass_context
def open_(context: Context, verification_id: int, target: Path, reason: str | None) -> None:
    """Decrypt the document of a verification into a file. Who opened it, when and why is recorded first.

    Example: `marketplace-admin verification open 7 --to passport.pdf --reason "Compare the names."`
    """
    from marketplace_api.domain.trust.verifications import documents
    from marketplace_api.gateways.document_cipher import DocumentKeys
    from marketplace_api.gateways.storage import make_storage

    told = asked_reason(reason, "Why do you open it? This is recorded")
    keys, storage = DocumentKeys.from_settings(context.settings), make_storage(context.settings)
    with context.databases() as databases:
        with databases.session() as session:
            actor = context.actor(session)
        # Where it goes must be there before the document is opened, for that is recorded and cannot be taken back.
        with _new_file(context, target) as stream:
            found = documents.open_document(databases, storage, keys, actor, verification_id, reason=told)
            stream.write(found.content)
    if is_stdout(target):
        return
    values = {
        "action": "open",
        "verification_id": verification_id,
        "file": str(target),
        "media_type": found.media_type,
        "bytes": len(found.content),
    }
    context.output.record(values, f"The document ({found.media_type}, {len(found.content):,} bytes) is in {target}.")


@contextmanager
def _new_file(context: Context, target: Path) -> Iterator[IO[bytes]]:
    if is_stdout(target) and sys.stdout.isatty():
        raise click.UsageError("A document is not for the terminal: name a file with --to, or pipe the output.")
    with written(context, target) as stream:
        yield stream


@verification.command()
@ids_argument
@click.option("--until", type=UNTIL, metavar="WHEN", help="A date, a time, or a span such as 365d; else for good.")
@click.option("--reason", type=REASON, help="Why; goes into the audit trail.")
@dry_run_option
@pass_context
def approve(context: Context, ids: tuple[str, ...], until: datetime | None, reason: str | None, dry_run: bool) -> None:
    """Say yes: the accounts are verified, for good or until a time.

    Each commits by itself. The one of a listing is `listings verify`.

    Example: `marketplace-admin --yes verification approve - --until 365d < ids.txt`

    Exit codes: 0 done, 3 not found, 4 not pending; of several, 5 some failed or it was interrupted, 1 all failed.
    """
    from marketplace_api.domain.trust.verifications import decisions

    work = Work(
        "approve", "verification", lambda session, actor, id_: decisions.approve(session, actor, id_, expires_at=until)
    )
    do_each(context, ids, work, reason=reason, dry_run=dry_run)


@verification.command()
@ids_argument
@click.option("--reason", type=REASON, required=True, help="Why; the owner reads it, and it goes into the audit trail.")
@dry_run_option
@pass_context
def reject(context: Context, ids: tuple[str, ...], reason: str, dry_run: bool) -> None:
    """Say no: the owners read the reason and may send another document.

    Example: `marketplace-admin verification reject 7 --reason "The photo is blurred."`

    Exit codes: 0 done, 3 not found, 4 not pending; of several, 5 some failed or it was interrupted, 1 all failed.
    """
    from marketplace_api.domain.trust.verifications import decisions

    work = Work(
        "reject", "verification", lambda session, actor, id_: decisions.reject(session, actor, id_, reason=reason)
    )
    do_each(context, ids, work, reason=reason, dry_run=dry_run)


@verification.command()
@ids_argument
@click.option("--reason", type=REASON, help="Why; goes into the audit trail.")
@dry_run_option
@pass_context
def expire(context: Context, ids: tuple[str, ...], reason: str | None, dry_run: bool) -> None:
    """End approvals before their time: the accounts are not verified any more and may send another document.

    Example: `marketplace-admin verification expire 7 --reason "The passport was stolen."`

    Exit codes: 0 done, 3 not found, 4 not approved; of several, 5 some failed or it was interrupted, 1 all failed.
    """
    from marketplace_api.domain.trust.verifications import decisions

    do_each(context, ids, Work("expire", "verification", decisions.expire), reason=reason, dry_run=dry_run)
