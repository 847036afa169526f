"""`marketplace-admin listings`: looking through them; steps, import and export have files of their own."""

from __future__ import annotations

from datetime import datetime

import rich_click as click

from marketplace_api.cli.context import Context, pass_context
from marketplace_api.cli.listings.export import export
from marketplace_api.cli.listings.import_ import import_
from marketplace_api.cli.listings.steps import STEPS
from marketplace_api.cli.param_types import SINCE

STATUSES = ("draft", "active", "inactive", "sold", "pending_verification", "rejected", "suspended", "deleted")
COLUMNS = ("listing_id", "title", "category", "price", "currency", "city", "status", "username", "date_created")


@click.group()
def listings() -> None:
    """Listings."""


for command in (*STEPS, import_, export):
    listings.add_command(command)


@listings.command("list")
@click.option("--status", type=click.Choice(STATUSES), help="Only listings in this state.")
@click.option("--owner", metavar="USER", help="Of this account: an id, a user name or an e-mail address.")
@click.option("--category", metavar="SLUG", help="Only of this category and those below it.")
@click.option("--search", default="", metavar="TEXT", help="A part of the title or the description.")
@click.option("--created-since", type=SINCE, metavar="WHEN", help="A date, a time, or an age such as 7d.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="Listings at most.")
@click.option("--after", type=click.IntRange(0), default=0, metavar="ID", help="Begin behind this id.")
@pass_context
def list_listings(
    context: Context,
    *,
    status: str | None,
    owner: str | None,
    category: str | None,
    search: str,
    created_since: datetime | None,
    limit: int,
    after: int,
) -> None:
    """Show listings by id, whatever their state.

    Example: `marketplace-admin --json listings list --status pending_verification --created-since 7d`
    """
    from marketplace_api.domain.catalog.listings import admin_search
    from marketplace_api.domain.identity.accounts import lifecycle

    with context.databases() as databases, databases.session() as session:
        owner_id = lifecycle.find(session, owner).user_id if owner else None
        found = admin_search.list_listings(
            session,
            status=status,
            owner_id=owner_id,
            category=category,
            search=search,
            created_since=created_since,
            limit=limit,
            after=after,
        )
    context.output.rows(COLUMNS, [dict(row._mapping) for row in found])
    if len(found) == limit:
        context.output.remark(f"There may be more: --after {found[-1].listing_id}")


@listings.command()
@click.argument("listing_id", type=click.IntRange(1, 2**63 - 1), help="The listing's id, as `listings list` shows it.")
@pass_context
def show(context: Context, listing_id: int) -> None:
    """Show one listing, whatever its state, and whose it is.

    Example: `marketplace-admin listings show 42`
    """
    from marketplace_api.domain.catalog.listings import admin_search

    with context.databases() as databases, databases.session() as session:
        found = admin_search.describe(session, listing_id)
    context.output.record(found)
