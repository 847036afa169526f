"""`marketplace-admin moderation`: what is done to many things at once, and undone. Its reports have a file of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import rich_click as click

from marketplace_api.cli.context import Context, pass_context
from marketplace_api.cli.moderation import reports
from marketplace_api.cli.moderation.batch_runs import OUTCOMES, carry_out, outcome_text, reasons_text
from marketplace_api.cli.param_types import BATCH_REASON

TARGETS = ("listings", "users", "reviews", "messages")
COLUMNS = ("batch_id", "action", "target", "conditions", "state", "matched", "actor", "date_created")
SAMPLE = 5
_INTERRUPTED = {"running": "interrupted", "undoing": "undo_interrupted"}


@click.group()
def moderation() -> None:
    """Reports and what is decided about them; what is done to many things at once, and undone."""


for command in reports.COMMANDS:
    moderation.add_command(command)


@moderation.command()
@click.argument("action", help="What is done; see below.")
@click.option("--target", type=click.Choice(TARGETS), required=True, help="What it is done to.")
@click.option("--where", required=True, metavar="CONDITIONS", help="Which, for example: price < 1 EUR and title ~ free")
@click.option(
    "--reason", type=BATCH_REASON, required=True, help="Why; those concerned read it, and it goes into the audit trail."
)
@click.option("--dry-run", is_flag=True, help="Show what matches and change nothing.")
@pass_context
def bulk(context: Context, action: str, target: str, where: str, reason: str, dry_run: bool) -> None:
    """Do ACTION to everything that the conditions match, after showing how many that are and some of them.

    \b
    listings  suspend, reinstate, verify, reject, delete, restore
    users     suspend, reinstate, ban
    reviews   delete, restore
    messages  delete, restore: only those that were reported

    Conditions are FIELD OPERATOR VALUE, joined by `and`. The operators are = != < <= > >= and ~ (contains). Values with
    spaces stand in quotes. A time is compared with a date, which is its midnight (UTC), or with an age: `created < 7d` is younger
    than seven days.
    An amount names its currency, `price < 1 EUR`; without one the conditions may match listings of one currency only.
    A field that does not exist is answered with those that do.

    The work is done in parts that each commit, as a batch with an id: `undo` takes it back, also after Ctrl-C.

    Example: `marketplace-admin moderation bulk suspend --target listings --where "category = cars and price < 1 EUR
    and title ~ free and created < 7d" --reason "Advertising."`

    Exit codes: 0 done, 4 stopped by an undo, 5 some were skipped or it was interrupted.
    """
    from marketplace_api.domain.kernel.filters import parse
    from marketplace_api.domain.trust.moderation import batches
    from marketplace_api.domain.trust.moderation.targets import TARGETS as KNOWN

    known = KNOWN[target]
    conditions = parse(where, known.fields, datetime.now(UTC))
    with context.databases() as databases:
        with databases.session() as session:
            actor = context.actor(session)
            batches.check(actor, known, action, reason)
            found = batches.preview(session, actor, known, action, conditions, SAMPLE)
        if not context.for_programs:
            context.output.sample(known.shown, found.sample, found.count, target)
        why = {reason: number for reason, number in found.counts.items() if reason is not None}
        counts = {"changed": found.counts.get(None, 0), "skipped": sum(why.values())}
        whole = _whole(action, target, counts, why)
        if dry_run or found.count == 0:
            values = outcome_text(None, action, target, found.count, counts if dry_run else {}, why, dry_run=dry_run)
            context.output.record(values, f"Would {whole}. Nothing was changed." if dry_run else "Nothing was changed.")
            return
        context.output.confirm(f"{whole[0].upper()}{whole[1:]}?")
        with databases.session() as session, session.begin():
            batch = batches.start(session, actor, known, action, where=where, conditions=conditions, reason=reason)
        context.output.remark(f"Batch {batch.batch_id}")
        carry_out(context, databases, actor, batch.batch_id, batches.advance)


@moderation.command()
@click.argument(
    "batch_id",
    metavar="BATCH",
    type=click.IntRange(1, 2**63 - 1),
    help="The batch's id, as `moderation batches` shows it.",
)
@pass_context
def resume(context: Context, batch_id: int) -> None:
    """Go on with a batch, or with its undoing, that was interrupted.

    Example: `marketplace-admin moderation resume 7`

    Exit codes: 0 done, 4 there is nothing to go on with, 5 some were skipped or it was interrupted.
    """
    from marketplace_api.domain.trust.moderation import batches
    from marketplace_api.errors import Conflict

    with context.databases() as databases:
        with databases.session() as session:
            actor = context.actor(session)
            state = batches.find(session, batch_id).state
        if state not in ("running", "undoing"):
            raise Conflict(f"Batch {batch_id} is {state}.")
        part = batches.advance_undo if state == "undoing" else batches.advance
        carry_out(context, databases, actor, batch_id, part)


@moderation.command()
@click.argument(
    "batch_id",
    metavar="BATCH",
    type=click.IntRange(1, 2**63 - 1),
    help="The batch's id, as `moderation batches` shows it.",
)
@click.option("--reason", type=BATCH_REASON, help="Why; goes into the audit trail.")
@click.option("--dry-run", is_flag=True, help="Say what would be put back and what kept, and change nothing.")
@pass_context
def undo(context: Context, batch_id: int, reason: str | None, dry_run: bool) -> None:
    """Put back everything in a batch that has not changed since, and name what has.

    Example: `marketplace-admin moderation undo 7`

    Of several batches that came to the same things, undo the last one first. A batch that was undone can be undone
    again, for what had to be kept.

    Exit codes: 0 all is as it was, 4 it was undone before, 5 some things have changed since and were kept.
    """
    from marketplace_api.domain.trust.moderation import batches

    with context.databases() as databases:
        with databases.session() as session:
            actor = context.actor(session, reason)
            batch, counts = batches.find(session, batch_id), batches.counts(session, batch_id)
            why = batches.reasons(session, batch_id)
        changed = counts.get("changed", 0) + counts.get("kept", 0)
        if batch.state == "undone" and not changed:
            raise batches.undone(batch_id)
        whole = f"undo the batch {batch_id} ({batch.action} {changed:,} {batch.target})"
        if dry_run:
            with databases.session() as session:
                lost = batches.changed_since(session, batch_id)
            values = outcome_text(
                batch_id, batch.action, batch.target, batch.matched, counts, why, dry_run=True, changed_since=lost
            )
            kept = (
                f" {lost:,} of them {'has' if lost == 1 else 'have'} changed since and would be kept." if lost else ""
            )
            context.output.record(values, f"Would {whole}.{kept} Nothing was changed.")
            return
        context.output.confirm(f"{whole.capitalize()}?")
        with databases.session() as session, session.begin():
            batches.begin_undo(session, actor, batch_id)
        carry_out(context, databases, actor, batch_id, batches.advance_undo)


@moderation.command("batches")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="How many to show.")
@click.option("--before", type=click.IntRange(1), metavar="ID", help="Begin below this id.")
@pass_context
def list_batches(context: Context, limit: int, before: int | None) -> None:
    """Show the batches, the newest first.

    `running` and `undoing` are those that somebody carries out now. `interrupted` and `undo_interrupted`: nobody does;
    `resume` goes on with either, `undo` takes it back.

    Example: `marketplace-admin moderation batches`
    """
    from marketplace_api.domain.trust.moderation import batches

    with context.databases() as databases, databases.session() as session:
        found = _described(session, batches.list_page(session, limit=limit, before=before))
    context.output.rows(COLUMNS, found)


@moderation.command()
@click.argument(
    "batch_id",
    metavar="BATCH",
    type=click.IntRange(1, 2**63 - 1),
    help="The batch's id, as `moderation batches` shows it.",
)
@click.option("--outcome", type=click.Choice(OUTCOMES), help="Only what became this.")
@click.option("--limit", type=click.IntRange(0, 100_000), default=20, show_default=True, help="Rows to show.")
@pass_context
def show(context: Context, batch_id: int, outcome: str | None, limit: int) -> None:
    """Show a batch and what became of each thing in it.

    Example: `marketplace-admin moderation show 7 --outcome kept`
    """
    from marketplace_api.domain.trust.moderation import batches

    with context.databases() as databases, databases.session() as session:
        (described,) = _described(session, [batches.find(session, batch_id)])
        described |= batches.counts(session, batch_id)
        found = batches.outcomes(session, batch_id, outcome=outcome, limit=limit) if limit else ()
        rows = [dict(row._mapping) for row in found]
    if context.for_programs:
        context.output.record({**described, "rows": rows})
        return
    context.output.record(described)
    if rows:
        context.output.rows(("subject_id", "outcome", "detail"), rows)


def _described(session: Any, found: Sequence[Any]) -> list[dict[str, Any]]:
    """Batches as they are shown: those that began and nobody carries out are interrupted."""
    from marketplace_api.domain.trust.moderation import locks

    carried_out = locks.locked_batches(session, [row.batch_id for row in found])
    names = (
        "batch_id",
        "action",
        "target",
        "conditions",
        "reason",
        "state",
        "matched",
        "date_created",
        "date_updated",
        "date_finished",
        "date_undone",
        "request_id",
    )
    described = []
    for row in found:
        actor = row.actor_name or (str(row.actor_id) if row.actor_id is not None else None)
        state = row.state if row.batch_id in carried_out else _INTERRUPTED.get(row.state, row.state)
        described.append({**{name: getattr(row, name) for name in names}, "state": state, "actor": actor})
    return described


def _whole(action: str, target: str, counts: dict[str, int], why: Mapping[str, int]) -> str:
    """``suspend 8 of 9 listings; 1 is deleted``."""
    matched = sum(counts.values())
    of = f"{counts['changed']:,} of {matched:,}" if counts["skipped"] else f"{matched:,}"
    return f"{action} {of} {target if matched != 1 else target[:-1]}{reasons_text(why)}"
