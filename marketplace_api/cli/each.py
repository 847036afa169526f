"""Doing something to each of many rows by their ids, each in a transaction of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import rich_click as click

from marketplace_api.cli import CONFLICT, DONE, NOT_FOUND, PARTLY_DONE
from marketplace_api.cli.context import Context

if TYPE_CHECKING:
    from marketplace_api.db import Databases


def pages(databases: Databases, after: Callable[[Any, int], Sequence[int]]) -> Iterator[int]:
    """All ids that ``after(session, last)`` gives, a page at a time."""
    last = 0
    while True:
        with databases.session() as session:
            ids = after(session, last)
        if not ids:
            return
        yield from ids
        last = ids[-1]


def each(
    context: Context, databases: Databases, ids: Iterable[int], act: Callable[[Any, int], None],
    *, nouns: tuple[str, str], status: str, told: str, dry_run: bool,
) -> None:  # fmt: skip
    """Do it to each row, tell of those that could not be, and exit with the command's code; ``nouns`` are one and many."""
    from marketplace_api.errors import Conflict, NotFound

    one, many = nouns
    done: list[int] = []
    refused: list[dict[str, Any]] = []
    codes = set()
    for row_id in ids:
        try:
            with databases.session() as session, session.begin() as transaction:
                act(session, row_id)
                if dry_run:
                    transaction.rollback()
            done.append(row_id)
        except (Conflict, NotFound) as error:
            refused.append({f"{one}_id": row_id, "reason": str(error)})
            codes.add(CONFLICT if isinstance(error, Conflict) else NOT_FOUND)
            click.echo(f"Error: {error!s}", err=True)
    values = {f"{one}_ids": done, "status": status, "refused": refused, "dry_run": dry_run}
    if not codes or done:
        number = f"{len(done):,} {one if len(done) == 1 else many}"
        context.output.record(values, f"{number} {'would be' if dry_run else 'now'} {told}.")
    raise SystemExit(DONE if not codes else PARTLY_DONE if done or len(codes) > 1 else codes.pop())
