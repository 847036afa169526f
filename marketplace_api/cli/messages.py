"""`marketplace-admin messages`: messages that were reported, and no others."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import rich_click as click

from marketplace_api.cli.bulk import LARGEST_ID, Work, do_each, dry_run_option, ids_argument
from marketplace_api.cli.context import Context, pass_context
from marketplace_api.cli.moderation.reports import REASONS
from marketplace_api.cli.param_types import REASON, SINCE, asked_reason

STATUSES = ("sent", "deleted")
COLUMNS = (
    "message_id",
    "status",
    "sender_username",
    "receiver_username",
    "reasons",
    "reports",
    "undecided",
    "timestamp_sent",
)


@click.group()
def messages() -> None:
    """Messages that were reported. All others are between the two who wrote them, and not found here."""


@messages.command("list")
@click.option("--status", type=click.Choice(STATUSES), help="Only in this state.")
@click.option("--sender", metavar="USER", help="By this account: an id, a user name or an e-mail address.")
@click.option("--reason", type=click.Choice(REASONS), help="Only reported for this reason.")
@click.option("--undecided", is_flag=True, help="Only with a report that nobody has decided yet.")
@click.option("--since", type=SINCE, help="Sent since then: an age such as 7d, or a date.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="Messages at most.")
@click.option("--before", type=click.IntRange(1), metavar="ID", help="Begin below this id.")
@pass_context
def list_messages(
    context: Context,
    *,
    status: str | None,
    sender: str | None,
    reason: str | None,
    undecided: bool,
    since: datetime | None,
    limit: int,
    before: int | None,
) -> None:
    """Show reported messages, the newest first: who wrote to whom and why it was reported, not what it says.

    Example: `marketplace-admin messages list --undecided --reason harassment`
    """
    from marketplace_api.domain.identity.accounts import lifecycle
    from marketplace_api.domain.trust.moderation import reported_messages

    with context.databases() as databases, databases.session() as session:
        sender_id = lifecycle.find(session, sender).user_id if sender else None
        wanted = reported_messages.Criteria(
            status=status, sender_id=sender_id, reason=reason, undecided=undecided, since=since
        )
        found = [dict(row._mapping) for row in reported_messages.list_page(session, wanted, limit=limit, before=before)]
    context.output.rows(COLUMNS, found)


@messages.command()
@click.argument("message_id", metavar="ID", type=click.IntRange(1, LARGEST_ID), help="The message's id.")
@click.option("--reason", type=REASON, help="Why it is read; goes into the audit trail. Asked for on a terminal.")
@pass_context
def show(context: Context, message_id: int, reason: str | None) -> None:
    """Show one reported message with what it says. That it was read, by whom and why is recorded.

    Example: `marketplace-admin messages show 7 --reason "Report 12"`
    """
    from marketplace_api.domain.trust.moderation import messages as moderation_messages

    told = asked_reason(reason, "Why do you read it? This is recorded")
    with context.acting(told) as (session, actor):
        found = dict(moderation_messages.read(session, actor, message_id)._mapping)
    context.output.record(found)


@messages.command()
@ids_argument
@click.option(
    "--reason", type=REASON, required=True, help="Why; the sender reads it, and it goes into the audit trail."
)
@click.option("--restore", is_flag=True, help="Bring them back instead.")
@dry_run_option
@pass_context
def delete(context: Context, ids: tuple[str, ...], reason: str, restore: bool, dry_run: bool) -> None:
    """Take reported messages out of their conversations, or bring them back.

    Both of the two see that a message was removed, and no longer what it said; its sender is told why.

    Example: `marketplace-admin messages delete 7 --reason "Harassment."`

    Exit codes: 0 done, 3 not found, 4 done already; of several, 5 some failed or it was interrupted, 1 all failed.
    """
    from marketplace_api.domain.trust.moderation import messages as moderation_messages

    def act(session: Any, actor: Any, number: int) -> Any:
        if restore:
            return moderation_messages.restore(session, actor, number)
        return moderation_messages.remove(session, actor, number, reason=reason)

    action = "restore" if restore else "delete"
    do_each(context, ids, Work(action, "message", act), reason=reason, dry_run=dry_run)
