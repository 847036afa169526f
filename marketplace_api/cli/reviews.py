"""`marketplace-admin reviews`: look at reviews, delete them, bring them back."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import rich_click as click

from marketplace_api.cli.bulk import LARGEST_ID, Work, do_each, dry_run_option, ids_argument
from marketplace_api.cli.context import Context, pass_context
from marketplace_api.cli.param_types import REASON, SINCE

STATUSES = ("published", "deleted")
COLUMNS = ("review_id", "rating", "comment", "status", "reviewer_username", "listing_id", "reviewee_id", "date_posted")
SHOWN = (
    "review_id",
    "listing_id",
    "reviewee_id",
    "reviewed_id",
    "reviewer_id",
    "reviewer_username",
    "rating",
    "comment",
    "reply",
    "date_replied",
    "moderation_reason",
    "date_posted",
    "date_updated",
    "deleted_at",
)
BEGINNING = 60


@click.group()
def reviews() -> None:
    """Reviews of listings and of people."""


@reviews.command("list")
@click.option("--status", type=click.Choice(STATUSES), help="Only in this state.")
@click.option("--author", metavar="USER", help="By this account: an id, a user name or an e-mail address.")
@click.option("--person", metavar="USER", help="Of this account: an id, a user name or an e-mail address.")
@click.option("--listing", type=click.IntRange(1), metavar="ID", help="Of this listing.")
@click.option("--rating", type=click.IntRange(1, 5), help="Only with so many stars.")
@click.option("--reported", is_flag=True, help="Only those that were reported.")
@click.option("--since", type=SINCE, help="Written since then: an age such as 7d, or a date.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="Reviews at most.")
@click.option("--before", type=click.IntRange(1), metavar="ID", help="Begin below this id.")
@pass_context
def list_reviews(
    context: Context,
    *,
    status: str | None,
    author: str | None,
    person: str | None,
    listing: int | None,
    rating: int | None,
    reported: bool,
    since: datetime | None,
    limit: int,
    before: int | None,
) -> None:
    """Show reviews, the newest first; the table shows how they begin, `--json` all of them.

    Example: `marketplace-admin reviews list --reported --rating 1`
    """
    from marketplace_api.domain.identity.accounts import lifecycle
    from marketplace_api.domain.trust.moderation import review_search

    with context.databases() as databases, databases.session() as session:
        wanted = review_search.Criteria(
            status=status,
            listing_id=listing,
            rating=rating,
            reported=reported,
            since=since,
            reviewer_id=lifecycle.find(session, author).user_id if author else None,
            reviewee_id=lifecycle.find(session, person).user_id if person else None,
        )
        found = [_row(row) for row in review_search.list_page(session, wanted, limit=limit, before=before)]
    if not context.for_programs:
        found = [row | {"comment": _beginning(row["comment"])} for row in found]
    context.output.rows(COLUMNS, found)


@reviews.command()
@click.argument("review_id", metavar="ID", type=click.IntRange(1, LARGEST_ID), help="The review's id.")
@pass_context
def show(context: Context, review_id: int) -> None:
    """Show one review, whatever its state.

    Example: `marketplace-admin reviews show 7`
    """
    from marketplace_api.domain.trust.moderation import review_search

    with context.databases() as databases, databases.session() as session:
        found = _row(review_search.find(session, review_id))
    context.output.record(found)


@reviews.command()
@ids_argument
@click.option(
    "--reason", type=REASON, required=True, help="Why; the author reads it, and it goes into the audit trail."
)
@click.option("--restore", is_flag=True, help="Bring them back instead.")
@dry_run_option
@pass_context
def delete(context: Context, ids: tuple[str, ...], reason: str, restore: bool, dry_run: bool) -> None:
    """Take reviews out of sight and out of the rating, or bring them back.

    Example: `marketplace-admin reviews delete 7 9 --reason "Insults."`

    Exit codes: 0 done, 3 not found, 4 done already; of several, 5 some failed or it was interrupted, 1 all failed.
    """
    from marketplace_api.domain.community.reviews import writing

    def act(session: Any, actor: Any, number: int) -> Any:
        if restore:
            return writing.restore(session, actor, number)
        return writing.delete(session, actor, number, reason=reason)

    action = "restore" if restore else "delete"
    do_each(context, ids, Work(action, "review", act), reason=reason, dry_run=dry_run)


def _row(row: Any) -> dict[str, Any]:
    status = "published" if row.deleted_at is None else "deleted"
    return {**{name: getattr(row, name) for name in SHOWN}, "status": status}


def _beginning(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= BEGINNING else f"{line[: BEGINNING - 1]}…"
