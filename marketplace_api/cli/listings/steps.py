"""The commands of `marketplace-admin listings` that take a step with one or many listings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import rich_click as click

from marketplace_api.cli.bulk import Work, do_each, dry_run_option, ids_argument
from marketplace_api.cli.context import Context, pass_context
from marketplace_api.cli.param_types import REASON

EXIT_CODES = (
    "Exit codes: 0 done, 3 not found, 4 not possible now (done already, deleted); of several, 5 some failed or it was "
    "interrupted, 1 all failed."
)


def _step(
    name: str,
    does: str,
    example: str,
    *,
    is_explained: bool = False,
    told: str = "Why; goes into the audit trail.",
    asks: bool = False,
) -> click.Command:
    """The command for one action of ``moderation.ACTIONS``; ``is_explained`` where there must be a reason."""

    @click.command(name, help=f"{does}\n\nExample: `marketplace-admin {example}`\n\n{EXIT_CODES}")
    @ids_argument
    @click.option("--reason", type=REASON, required=is_explained, help=told)
    @dry_run_option
    @pass_context
    def step(context: Context, ids: tuple[str, ...], reason: str | None, dry_run: bool) -> None:
        work = Work(name, "listing", _judging(name, reason), asks=asks)
        do_each(context, ids, work, reason=reason, dry_run=dry_run)

    return step


def _judging(name: str, reason: str | None) -> Callable[[Any, Any, int], object]:
    from marketplace_api.domain.catalog.listings import moderation

    return lambda session, actor, listing_id: moderation.moderate(session, actor, name, listing_id, reason=reason)


_READ = "Why; the owner reads it, and it goes into the audit trail."

STEPS = (
    _step("verify", "Give the badge to listings that wait for it, and publish them.", "listings verify 42 43"),
    _step(
        "reject",
        "Refuse the badge; the owners read the reason.",
        'listings reject 42 --reason "The photos are of another car."',
        is_explained=True,
        told=_READ,
    ),
    _step(
        "suspend",
        "Take listings down; the owners read the reason.",
        'listings suspend 42 --reason "Advertising."',
        is_explained=True,
        told=_READ,
    ),
    _step(
        "reinstate",
        "Put suspended listings back to what they were before.",
        'listings reinstate 42 --reason "The appeal was right."',
    ),
    _step(
        "delete",
        "Delete listings. For 30 days `restore` brings them back.",
        "--yes listings delete - < ids.txt",
        asks=True,
    ),
    _step("restore", "Bring deleted listings back as they were.", "listings restore 42"),
)
