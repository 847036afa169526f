"""`marketplace-admin deliveries`: notifications by e-mail, SMS and push; what was sent, and trying again what failed."""

from __future__ import annotations

from functools import partial

import rich_click as click

from marketplace_api.cli.context import Context, pass_context
from marketplace_api.cli.each import each, pages

CHANNELS = ("email", "sms", "web_push")
STATUSES = ("due", "sent", "skipped", "failed")
COLUMNS = (
    "delivery_id", "user_id", "channel", "type", "status", "due_at", "attempts", "error", "provider_reference",
)  # fmt: skip
LARGEST = 2**63 - 1


@click.group()
def deliveries() -> None:
    """Notifications that leave the house."""


@deliveries.command("list")
@click.option("--status", type=click.Choice(STATUSES), help="Only deliveries in this state.")
@click.option("--channel", type=click.Choice(CHANNELS), help="Only deliveries by this channel.")
@click.option(
    "--user", "user_id", type=click.IntRange(1, LARGEST), metavar="ID", help="Only deliveries to this account."
)
@click.option("--reference", metavar="TEXT", help="Only the one that the provider knows so, such as a Message-ID.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="Deliveries at most.")
@pass_context
def list_deliveries(
    context: Context, *, status: str | None, channel: str | None, user_id: int | None, reference: str | None, limit: int
) -> None:
    """Show deliveries, newest first.

    Example: `marketplace-admin deliveries list --status failed --channel email`
    """
    from marketplace_api.domain.notifications import delivery_log

    chosen = delivery_log.Chosen(status=status, channel=channel, user_id=user_id, reference=reference)
    with context.databases() as databases, databases.session() as session:
        context.output.rows(COLUMNS, delivery_log.listed(session, chosen, limit))


@deliveries.command()
@click.argument("delivery_id", type=click.IntRange(1, LARGEST), help="Its id, as `deliveries list` shows it.")
@pass_context
def show(context: Context, delivery_id: int) -> None:
    """Show one delivery.

    Example: `marketplace-admin deliveries show 42`
    """
    from marketplace_api.domain.notifications import delivery_log

    with context.databases() as databases, databases.session() as session:
        context.output.record(delivery_log.find(session, delivery_id))


@deliveries.command()
@click.argument(
    "delivery_ids", nargs=-1, type=click.IntRange(1, LARGEST), metavar="ID…",
    help="Deliveries, as `deliveries list` shows them.",
)  # fmt: skip
@click.option("--failed", is_flag=True, help="All that failed.")
@click.option("--channel", type=click.Choice(CHANNELS), help="With --failed: only by this channel.")
@click.option("--dry-run", is_flag=True, help="Say what would be sent again and change nothing.")
@pass_context
def retry(context: Context, delivery_ids: tuple[int, ...], *, failed: bool, channel: str | None, dry_run: bool) -> None:
    """Have failed deliveries sent again, within a minute. Each is done by itself: one that cannot be does not stop others.

    Example: `marketplace-admin deliveries retry --failed --channel email --dry-run`

    Exit codes: 0 done, 3 there is none of that id, 4 not failed, 5 some could not be.
    """
    from marketplace_api.domain.notifications import delivery_log

    if bool(delivery_ids) == failed:
        raise click.UsageError("Name deliveries by their ids, or all that failed with --failed.")
    with context.databases() as databases:
        after = partial(delivery_log.failed_after, channel=channel)
        ids = pages(databases, after) if failed else dict.fromkeys(delivery_ids)
        each(
            context, databases, ids, delivery_log.retry, nouns=("delivery", "deliveries"),
            status=delivery_log.RETRIED, told="due again", dry_run=dry_run,
        )  # fmt: skip
