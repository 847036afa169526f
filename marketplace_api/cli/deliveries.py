"""`marketplace-admin deliveries`: notifications by e-mail, SMS and push; what was sent, and trying again what failed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import rich_click as click

from marketplace_api.cli.bulk import LARGEST_ID, Work, do_each, dry_run_option, ids_argument_of, pages
from marketplace_api.cli.context import Context, pass_context

CHANNELS = ("email", "sms", "web_push")
STATUSES = ("due", "sent", "skipped", "failed")
COLUMNS = ("delivery_id", "user_id", "channel", "type", "status", "due_at", "attempts", "error", "provider_reference")


@click.group()
def deliveries() -> None:
    """Notifications that leave the house."""


@deliveries.command("list")
@click.option("--status", type=click.Choice(STATUSES), help="Only deliveries in this state.")
@click.option("--channel", type=click.Choice(CHANNELS), help="Only deliveries by this channel.")
@click.option(
    "--user", "user_id", type=click.IntRange(1, LARGEST_ID), metavar="ID", help="Only deliveries to this account."
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
    from marketplace_api.domain.outbound.notifications import delivery_log

    chosen = delivery_log.Criteria(status=status, channel=channel, user_id=user_id, reference=reference)
    with context.databases() as databases, databases.session() as session:
        context.output.rows(COLUMNS, delivery_log.list_page(session, chosen, limit))


@deliveries.command()
@click.argument("delivery_id", type=click.IntRange(1, LARGEST_ID), help="Its id, as `deliveries list` shows it.")
@pass_context
def show(context: Context, delivery_id: int) -> None:
    """Show one delivery.

    Example: `marketplace-admin deliveries show 42`
    """
    from marketplace_api.domain.outbound.notifications import delivery_log

    with context.databases() as databases, databases.session() as session:
        context.output.record(delivery_log.find(session, delivery_id))


@deliveries.command()
@ids_argument_of(required=False)
@click.option("--failed", is_flag=True, help="All that failed for good.")
@click.option("--waiting", is_flag=True, help="All that failed and wait for the time of their next attempt.")
@click.option("--channel", type=click.Choice(CHANNELS), help="With --failed or --waiting: only by this channel.")
@dry_run_option
@pass_context
def retry(
    context: Context, ids: tuple[str, ...], *, failed: bool, waiting: bool, channel: str | None, dry_run: bool
) -> None:
    """Have deliveries sent again, within a minute, that failed, or that wait for their next attempt. Each is done by
    itself: one that cannot be does not stop others.

    Example: `marketplace-admin deliveries retry --failed --channel email --dry-run`

    Exit codes: 0 done, 3 not found, 4 it did not fail; of several, 5 some failed or it was interrupted, 1 all failed.
    """
    from marketplace_api.domain.outbound.notifications import delivery_log

    if bool(ids) + failed + waiting != 1:
        raise click.UsageError("Name deliveries by their ids, or all that failed with --failed or --waiting.")
    if channel and ids:
        raise click.UsageError("--channel goes with --failed or --waiting.")
    after = delivery_log.failed_after if failed else delivery_log.waiting_after
    chosen: Sequence[str | int] = ids or pages(context, partial(after, channel=channel))
    work = Work("retry", "delivery", lambda session, _, id_: delivery_log.retry(session, id_))
    do_each(context, chosen, work, dry_run=dry_run)
