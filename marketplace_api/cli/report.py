"""`marketplace-admin report`: figures for those who run the marketplace."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import rich_click as click

from marketplace_api.cli.context import Context, pass_context
from marketplace_api.cli.param_types import SINCE, require_span
from marketplace_api.cli.terminal import say

USUAL = timedelta(days=30)
UNITS = ("day", "week")


def _options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--by", "unit", type=click.Choice(UNITS), help="Count what is new by; days, weeks if many."),
        click.option("--until", type=SINCE, help="Before then: an age such as 7d, or a date; now, without."),
        click.option("--since", type=SINCE, help="From then on: an age such as 90d, or a date; 30 days before."),
    ):
        command = option(command)
    return command


@click.group()
def report() -> None:
    """Figures: how much there is, and what came in a period. Days and weeks are those of UTC, weeks begin on Monday."""


@report.command()
@_options
@pass_context
def overview(context: Context, since: datetime | None, until: datetime | None, unit: str | None) -> None:
    """Show the figures that one looks at first: listings, accounts, reports, activity.

    Example: `marketplace-admin report overview --since 7d`
    """
    from marketplace_api.domain.operations.reporting import overview as reporting

    _show(context, reporting.figures, since, until, unit)


@report.command()
@_options
@pass_context
def listings(context: Context, since: datetime | None, until: datetime | None, unit: str | None) -> None:
    """Show listings by status, category and country, new ones over time, and the queue for verification.

    Example: `marketplace-admin --json report listings --since 2026-01-01 --until 2026-02-01`
    """
    from marketplace_api.domain.operations.reporting import listings as reporting

    _show(context, reporting.figures, since, until, unit)


@report.command()
@_options
@pass_context
def users(context: Context, since: datetime | None, until: datetime | None, unit: str | None) -> None:
    """Show accounts by state and role, new ones over time, and how verification of identities goes.

    Example: `marketplace-admin report users --since 90d --by week`
    """
    from marketplace_api.domain.operations.reporting import users as reporting

    _show(context, reporting.figures, since, until, unit)


@report.command()
@_options
@pass_context
def moderation(context: Context, since: datetime | None, until: datetime | None, unit: str | None) -> None:
    """Show reports and how long they took, what was reported most, who did what, and batches.

    Example: `marketplace-admin report moderation --since 30d`
    """
    from marketplace_api.domain.operations.reporting import moderation as reporting

    _show(context, reporting.figures, since, until, unit)


def _show(
    context: Context,
    figures: Callable[[Any, Any], dict[str, Any]],
    since: datetime | None,
    until: datetime | None,
    unit: str | None,
) -> None:
    from marketplace_api.domain.operations.reporting import period

    end = until or datetime.now(UTC)
    require_span(since, end)
    chosen = period.make(since or end - USUAL, end, unit)
    with context.databases() as databases, databases.session() as session, context.output.working("Counting …"):
        found = figures(session, chosen)
    if context.for_programs:
        context.output.record({"period": chosen.asdict(), **found})
        return
    first, last = chosen.since.astimezone(UTC), chosen.until.astimezone(UTC)
    say(f"From {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC, by the {chosen.unit}.")
    _tables(context, found, "")


def _tables(context: Context, found: Mapping[str, Any], title: str) -> None:
    """The plain figures in one table, then one for each group of them."""
    plain = {name: value for name, value in found.items() if not isinstance(value, dict | list)}
    if plain:
        _heading(title)
        context.output.record(plain)
    for name, value in found.items():
        heading = f"{title} {name}".strip()
        if isinstance(value, dict):
            _tables(context, value, heading)
        elif isinstance(value, list) and value:
            _heading(heading)
            context.output.rows(tuple(value[0]), [_row(row) for row in value])


def _heading(title: str) -> None:
    if title:
        say(f"\n{title.replace('_', ' ').capitalize()}")


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row for the table: what is counted by name becomes one cell."""
    return {
        name: ", ".join(f"{key} {count:,}" for key, count in value.items()) if isinstance(value, dict) else value
        for name, value in row.items()
    }
