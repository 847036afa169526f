"""Doing the same to one or many things that are named by their ids, each in a transaction of its own."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import rich_click as click

from marketplace_api.cli.context import Context
from marketplace_api.cli.error_summary import ErrorSummary
from marketplace_api.cli.exit_codes import DONE, FAILED, PARTLY_DONE, Refused
from marketplace_api.cli.signals import interruptible
from marketplace_api.cli.terminal import say_line

if TYPE_CHECKING:
    from marketplace_api.database.engines import Databases
    from marketplace_api.domain.kernel.actors import Actor

LARGEST_ID = 2**63 - 1
LONGEST_SHOWN = 40
_HEADING = re.compile(r"\b[a-z]+_id\b")


def ids_argument_of(*, required: bool = True) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The ids that a command takes; where they are not ``required`` an option says which instead."""
    return click.argument(
        "ids",
        metavar="ID...",
        nargs=-1,
        required=required,
        help="One or more ids; `-` reads them from standard input, as a list prints them with --ids.",
    )


ids_argument = ids_argument_of()
dry_run_option = click.option("--dry-run", is_flag=True, help="Say what would be done and change nothing.")


@dataclass(frozen=True, slots=True)
class Work:
    """``act(session, actor, id)`` is the ``action`` upon one ``noun``; ``asks`` for a confirmation even of one.

    ``also`` is the action upon what that is about, if there is one; ``more`` is told to programs.
    """

    action: str
    noun: str
    act: Callable[[Any, Actor, int], object]
    asks: bool = False
    also: str = ""
    more: Mapping[str, Any] = field(default_factory=dict)


def do_each(
    context: Context, ids: Sequence[str | int], work: Work, *, dry_run: bool, reason: str | None = None
) -> None:
    """Do the work to each of these, tell what became of them, and end with the command's exit code.

    One alone fails as any command does. Of many each commits by itself, and each that fails has its line on standard
    error; a rehearsal takes every step and rolls it back. Raises Refused for what is no id, before anything is done.
    """
    wanted = named(ids)
    if not dry_run and wanted and (len(wanted) > 1 or work.asks):
        also = f" and {work.also} what {_they_are(len(wanted))} about" if work.also else ""
        context.output.confirm(f"{work.action.capitalize()} {counted(len(wanted), work.noun)}{also}?")
    with context.databases() as databases:
        with databases.session() as session:
            actor = context.actor(session, reason)
        run = _Run(context, databases, actor, work, dry_run, ErrorSummary(context.verbose))
        run.take_all(wanted)
    run.summary.print_rest()
    run.print_outcome(wanted)
    raise SystemExit(run.exit_code(len(wanted)))


def pages(context: Context, after: Callable[[Any, int], Sequence[int]]) -> list[int]:
    """All the ids that ``after(session, last)`` gives page by page, each page above the ``last`` one."""
    found: list[int] = []
    with context.databases() as databases, databases.session() as session:
        while ids := after(session, found[-1] if found else 0):
            found += ids
    return found


def counted(count: int, noun: str) -> str:
    """``1 listing``, ``2,000 listings``."""
    return f"{count:,} {noun if count == 1 else _plural(noun)}"


def _plural(noun: str) -> str:
    return f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"


def done_word(action: str) -> str:
    """What an action is called once it is done: ``verify``, ``verified``."""
    if action == "cancel":
        return "cancelled"
    if action.endswith("send"):
        return f"{action[:-1]}t"
    if action.endswith("y"):
        return f"{action[:-1]}ied"
    if action == "ban":
        return "banned"
    return f"{action}d" if action.endswith("e") else f"{action}ed"


def _they_are(count: int) -> str:
    return "it is" if count == 1 else "they are"


def named(ids: Sequence[str | int]) -> list[int]:
    """The ids as numbers, each once, in the order in which they were given; raises Refused for what is no id."""
    return list(dict.fromkeys(_read(ids)))


def _read(words: Sequence[str | int]) -> Iterator[int]:
    for word in words:
        if word == "-":
            for number, line in enumerate(sys.stdin.buffer, 1):
                text = line.decode(errors="replace").lstrip("\ufeff").partition("#")[0]
                if number == 1 and _HEADING.search(text):
                    raise Refused(
                        "Line 1 is the heading of a list, and `-` takes nothing but ids: print them by `… list --ids`."
                    )
                for each in text.split():
                    yield _id(each, f"Line {number}: ")
        elif isinstance(word, int):
            yield word
        else:
            yield _id(word, "")


def _id(text: str, where: str) -> int:
    # More digits than the largest has are not even read as a number.
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(LARGEST_ID))
    if not is_number or not 1 <= int(text) <= LARGEST_ID:
        raise Refused(f"{where}{text[:LONGEST_SHOWN]!r} is no id; `list` shows the ids, and `list --ids` nothing else.")
    return int(text)


@dataclass(slots=True)
class _Run:
    """One run over many things: what was done so far, and how it is told."""

    context: Context
    databases: Databases
    actor: Actor
    work: Work
    dry_run: bool
    summary: ErrorSummary
    changed: int = 0
    failed: list[dict[str, Any]] = field(default_factory=list)
    is_interrupted: bool = False

    def take_all(self, ids: Sequence[int]) -> None:
        """Ctrl-C, SIGTERM and a database that is away end it between two of them."""
        from marketplace_api.database.engines import is_outage

        with interruptible() as interrupted, self.context.output.progress(self.work.action, len(ids)) as step:
            for subject_id in ids:
                if interrupted.is_set():
                    self.is_interrupted = True
                    return
                try:
                    self.take(subject_id, alone=len(ids) == 1)
                except Exception as error:
                    if not is_outage(error):
                        raise
                    self.is_interrupted = True
                    say_line("Error: the database is away or too slow.")
                    return
                step(1)

    def take(self, subject_id: int, *, alone: bool) -> None:
        from marketplace_api.errors import DomainError

        try:
            with self.databases.session() as session, session.begin():
                self.work.act(session, self.actor, subject_id)
                if self.dry_run:
                    session.rollback()
        except DomainError as error:
            if alone:
                raise
            self.failed.append({f"{self.work.noun}_id": subject_id, "code": error.code, "message": error.detail})
            # Sentences that name the thing itself are alike but for that.
            alike = re.sub(rf"\b{subject_id}\b", "…", error.detail)
            self.summary.add(f"{self.work.noun} {subject_id}: {error.detail}", alike)
            return
        # From here on it is committed, and nothing says so before.
        self.changed += 1
        if self.context.verbose:
            said = f"would be {done_word(self.work.action)}" if self.dry_run else done_word(self.work.action)
            say_line(f"{self.work.noun} {subject_id}: {said}")

    def exit_code(self, matched: int) -> int:
        if self.changed == matched:
            return DONE
        return PARTLY_DONE if self.changed else FAILED

    def print_outcome(self, ids: Sequence[int]) -> None:
        """One document, or a sentence."""
        work, matched = self.work, len(ids)
        values = {
            "action": work.action,
            "matched": matched,
            "changed": self.changed,
            "failed": self.failed,
            "interrupted": self.is_interrupted,
            "dry_run": self.dry_run,
            **work.more,
        }
        verb = f"Would {work.action}" if self.dry_run else done_word(work.action).capitalize()
        also = ""
        if work.also and self.changed:
            also = f" and {work.also if self.dry_run else done_word(work.also)} what {_they_are(self.changed)} about"
        if matched == 1 and self.changed:
            said = f"{verb} the {work.noun} {ids[0]}{also}."
        else:
            of = f" of {matched:,}" if self.changed != matched else ""
            said = f"{verb} {self.changed:,}{of} {work.noun if matched == 1 else _plural(work.noun)}{also}"
            said += f"; {len(self.failed):,} failed." if self.failed else "."
        if self.is_interrupted:
            said += " It was interrupted: run the same command again for the rest; what is done already fails then."
        self.context.output.record(values, said)
