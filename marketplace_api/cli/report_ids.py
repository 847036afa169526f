"""Doing the same to many things that are named by their ids: each is done, or fails, on its own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import rich_click as click

from marketplace_api.cli import PARTLY_DONE
from marketplace_api.cli.context import Context

if TYPE_CHECKING:
    from marketplace_api.db import Databases
    from marketplace_api.errors import DomainError

LARGEST = 2**63 - 1
SHORTEST_REASON, LONGEST_REASON = 3, 2_000
HELP = "Ids, one or more; `-` reads them from standard input."

Act = Callable[[Any, Any, int], Any]


def each(
    context: Context, ids: tuple[str, ...], act: Act, *, noun: str, action: str, reason: str | None, dry_run: bool
) -> None:
    """``act(session, actor, id)`` for every one of ``ids``, in a transaction of its own.

    Many are confirmed first. Each that is refused is told on standard error; the document that is printed names them
    (``failed``) and counts the others (``changed``). Ctrl-C ends it between two. Of a single one the error itself ends
    the command, with its own exit code; else that is 5 where some failed.
    """
    numbers = named(ids, noun)
    many = f"{noun}s" if len(numbers) != 1 else noun
    with context.databases() as databases:
        _require_moderator(context, databases)
        if len(numbers) > 1 and not dry_run:
            context.output.confirm(f"{action.capitalize()} {len(numbers):,} {many}?")
        failed, changed, interrupted = _each(context, databases, numbers, act, noun, action, reason, dry_run)
    done = {
        "action": action, "matched": len(numbers), "changed": 0 if dry_run else changed, "failed": failed,
        "dry_run": dry_run,
    }  # fmt: skip
    verb = "would be possible" if dry_run else "is done"
    message = f"{action.capitalize()}: {verb} for {changed:,} of {len(numbers):,} {many}."
    if interrupted:
        message += " It was interrupted; the others are as they were."
    context.output.record(done, message)
    if failed or interrupted:
        raise SystemExit(PARTLY_DONE)


def _each(
    context: Context, databases: Databases, numbers: list[int], act: Act, noun: str, action: str, reason: str | None,
    dry_run: bool,
) -> tuple[list[dict[str, Any]], int, bool]:  # fmt: skip
    """What failed and why, how many did not, and whether Ctrl-C came between."""
    from marketplace_api.errors import DomainError

    failed: list[dict[str, Any]] = []
    changed = 0
    with context.output.progress(action, len(numbers)) as step:
        for number in numbers:
            try:
                with databases.session() as session, session.begin() as transaction:
                    act(session, context.actor(session, reason), number)
                    if dry_run:
                        transaction.rollback()
                changed += 1
            except DomainError as error:
                if len(numbers) == 1:
                    raise
                failed.append(_told(noun, number, error))
            except KeyboardInterrupt:
                return failed, changed, True
            step(1)
    return failed, changed, False


def _told(noun: str, number: int, error: DomainError) -> dict[str, Any]:
    click.echo(f"{noun} {number}: {error.detail}", err=True)
    return {"id": number, "code": error.code, "detail": error.detail}


def checked_reason(text: str) -> str:
    """The reason as it is told; one that says nothing, or too much, is a mistake of usage."""
    told = text.strip()
    if not SHORTEST_REASON <= len(told) <= LONGEST_REASON:
        raise click.UsageError(f"Give a reason of {SHORTEST_REASON} to {LONGEST_REASON:,} characters; others read it.")
    return told


def named(ids: tuple[str, ...], noun: str) -> list[int]:
    """The ids as numbers, each once, in the order in which they were given."""
    words = [word for each in ids for word in (sys.stdin.read().split() if each == "-" else [each])]
    numbers: dict[int, None] = {}
    for word in words:
        if not (word.isascii() and word.isdigit()) or not 0 < int(word[:20]) <= LARGEST or len(word) > 19:
            raise click.UsageError(f"{word!r} is not the id of a {noun}.")
        numbers[int(word)] = None
    if not numbers:
        raise click.UsageError(f"Name at least one {noun} by its id.")
    return list(numbers)


def _require_moderator(context: Context, databases: Databases) -> None:
    from marketplace_api.errors import Forbidden

    with databases.session() as session:
        if not context.actor(session).moderates:
            raise Forbidden("Only moderators may do this.")
