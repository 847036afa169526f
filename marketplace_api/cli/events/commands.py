"""`marketplace-admin events`: who did what, to what, when and why; the log as it grows, and as a file."""

from __future__ import annotations

import os
import re
import select
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import rich_click as click

from marketplace_api.cli.context import Context, pass_context
from marketplace_api.cli.files import FILE, is_stdout, written
from marketplace_api.cli.param_types import SINCE, require_span
from marketplace_api.cli.terminal import say, stdout_of_bytes

if TYPE_CHECKING:
    from marketplace_api.database.engines import Databases
    from marketplace_api.domain.eventlog.audit import Criteria

Encode = Callable[[Sequence[Any]], bytes]

_SUBJECT = re.compile(r"([a-z_]+):([^:]+)")


def _narrowing(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say which events."""
    options: tuple[Callable[[Callable[..., Any]], Callable[..., Any]], ...] = (
        click.option("--until", type=SINCE, help="Before this time."),
        click.option("--since", type=SINCE, help="From this time on: an age such as 2h or 7d, or a date (UTC)."),
        click.option("--subject", metavar="KIND:ID", help="About this, such as listing:12 or user:ada."),
        click.option("--actor", metavar="USER", help="By this account: an id, a user name or an e-mail address."),
        click.option(
            "--type",
            "kind",
            metavar="TYPE",
            help="Of this type, such as listing.status_changed, or of all below: listing.*",
        ),
    )
    for option in options:
        command = option(command)
    return command


@click.group()
def events() -> None:
    """The event log: who did what, to what, when and why."""


@events.command()
@click.option("--follow", "-f", is_flag=True, help="Go on with what happens from now on, until Ctrl-C.")
@_narrowing
@click.option("--limit", type=click.IntRange(0, 10_000), default=20, show_default=True, help="Past events at most.")
@pass_context
def tail(context: Context, /, *, follow: bool, limit: int, **narrowing: Any) -> None:
    """Show the newest events, the last one last. Changes are cut short; with --json events are whole.

    With --follow and --json each event is one line of JSON. No event is left out, also while the database is away.

    Example: `marketplace-admin events tail --follow --type "listing.*"`
    """
    from marketplace_api.cli.events import format as event_format
    from marketplace_api.domain.eventlog import audit

    with _to_the_end(interruptible=follow), context.databases() as databases:
        wanted = _wanted(databases, **narrowing)
        if follow:
            _follow(context, databases, wanted, limit)
            return
        with databases.primary_reader() as db:
            rows = audit.newest(db, wanted, limit)
            lines = [event_format.fields(row) for row in rows] if context.for_programs else event_format.lines(db, rows)
        context.output.rows(event_format.COLUMNS, lines)


@events.command()
@click.argument("event_id", type=click.IntRange(1, 2**63 - 1), help="The event's id, as `events tail` shows it.")
@pass_context
def show(context: Context, event_id: int) -> None:
    """Show one event, whole.

    Example: `marketplace-admin --json events show 42`
    """
    from marketplace_api.cli.events import format as event_format
    from marketplace_api.domain.eventlog import audit
    from marketplace_api.errors import NotFound

    with context.databases() as databases, databases.primary_reader() as db:
        row = audit.find(db, event_id)
    if row is None:
        raise NotFound(f"There is no event {event_id}.")
    context.output.record(event_format.fields(row))


@events.command()
@_narrowing
@click.option("--to", "file", metavar="FILE", type=FILE, help="A new file; else, and with `-`, standard output.")
@pass_context
def export(context: Context, /, *, file: Path | None, **narrowing: Any) -> None:
    """Write events as JSON lines, the oldest first: everything up to now, however much that is.

    A FILE ending in .csv, or --output csv, asks for CSV, with an apostrophe before what a spreadsheet would compute. A FILE is complete when it is there; one that exists is replaced
    with --yes only.

    Example: `marketplace-admin events export --since 30d --to events.jsonl`
    """
    from marketplace_api.domain.eventlog import audit

    count = 0
    with (
        context.databases() as databases,
        databases.primary_reader() as db,
        written(context, file) as stream,
        _to_the_end(),
    ):
        encode = _encoder("csv" if file is not None and file.suffix.lower() == ".csv" else context.output_format)
        wanted = _wanted(databases, **narrowing)
        top = audit.top_id(db)
        with context.output.progress("Exporting (by id)", top) as step:
            last = 0
            for rows in audit.walk(db, wanted, top):
                stream.write(encode(rows))
                count += len(rows)
                step(rows[-1].event_id - last)
                last = rows[-1].event_id
        if count == 0:
            stream.write(encode(()))
    if is_stdout(file):
        context.output.remark(f"{count:,} events.")
    else:
        context.output.record({"events": count, "file": str(file)}, f"{count:,} events in {file}.")


def _follow(context: Context, databases: Databases, wanted: Criteria, limit: int) -> None:
    """What there is, then what comes, until Ctrl-C or until nobody reads any more."""
    from marketplace_api.cli.events import format as event_format
    from marketplace_api.domain.eventlog import audit, feed

    with databases.primary_reader() as db:
        horizon = feed.horizon(db)
        past = audit.newest(db, wanted, limit) if limit else ()
        old = [row for row in past if row.event_id <= horizon]
    if not context.for_programs:
        say(event_format.head())
    encode = _encoder(context.output_format)
    _print(context, databases, old, encode)
    for rows in feed.follow(databases, horizon, context.output.remark):
        _print(context, databases, [row for row in rows if feed.matches(wanted, row)], encode)
        if _is_closed(sys.stdout):
            return


def _encoder(output_format: str) -> Encode:
    """What writes events as they come, batch after batch; as JSON lines unless something else was asked for."""
    from marketplace_api.cli.events import format as event_format

    if output_format == "ids":
        return event_format.id_lines
    if output_format != "csv":
        return event_format.json_lines
    headings = iter((True,))  # above the first batch only
    return lambda rows: event_format.csv_lines(rows, heading=next(headings, False))


def _print(context: Context, databases: Databases, rows: list[Any], encode: Encode) -> None:
    from marketplace_api.cli.events import format as event_format

    if not rows:
        return
    if context.for_programs:
        stdout_of_bytes().write(encode(rows))
        sys.stdout.flush()
        return
    with databases.primary_reader() as db:
        lines = event_format.lines(db, rows)
    say("".join(f"{event_format.padded(line)}\n" for line in lines), nl=False)


@contextmanager
def _to_the_end(*, interruptible: bool = False) -> Iterator[None]:
    """A reader who goes away ends the command without a word, and so does Ctrl-C where nothing is left undone by it."""
    try:
        yield
    except BrokenPipeError:
        # What is still buffered goes nowhere, instead of failing once more at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        if not interruptible:
            raise


def _is_closed(stream: IO[str]) -> bool:
    """Whether the other end of a pipe was closed, which a writer with nothing to write would not learn."""
    poll = select.poll()
    try:
        poll.register(stream.fileno(), 0)
    except OSError:  # a file in memory
        return False
    return any(what & (select.POLLERR | select.POLLHUP) for _, what in poll.poll(0))


def _wanted(
    databases: Databases,
    *,
    kind: str | None,
    actor: str | None,
    subject: str | None,
    since: datetime | None,
    until: datetime | None,
) -> Criteria:
    from marketplace_api.domain.eventlog.audit import Criteria
    from marketplace_api.domain.kernel.events import EventType

    require_span(since, until)
    types = [known.value for known in EventType]
    chosen = _types(kind, types) if kind is not None else None
    subject_type, subject_id = _subject(databases, subject, types) if subject is not None else (None, None)
    actor_id = _account(databases, actor) if actor is not None else None
    return Criteria(subject_type, subject_id, actor_id, chosen, since, until)


def _types(kind: str, types: list[str]) -> str | tuple[str, ...]:
    """One type, or all whose names begin so: ``listing.*``, ``listing.`` or ``listing``. Raises BadParameter."""
    if kind in types:
        return kind
    beginning = kind.removesuffix("*").removesuffix(".")
    found = tuple(known for known in types if beginning and known.startswith(f"{beginning}."))
    if not found and kind.endswith("*"):
        found = tuple(known for known in types if known.startswith(kind.removesuffix("*")))
    if not found:
        nouns = sorted({known.partition(".")[0] for known in types})
        raise click.BadParameter(f"There is no type {kind!r}{_suggestion(kind, types, nouns)}", param_hint="--type")
    return found


def _subject(databases: Databases, subject: str, types: list[str]) -> tuple[str, int]:
    kinds = sorted({kind.partition(".")[0] for kind in types})
    found = _SUBJECT.fullmatch(subject)
    if found is None or found[1] not in kinds:
        raise click.BadParameter(f"{subject!r} is no KIND:ID; kinds are {', '.join(kinds)}.", param_hint="--subject")
    if found[1] == "user":
        return found[1], _account(databases, found[2])
    if not found[2].isdecimal() or int(found[2]) >= 2**63:
        raise click.BadParameter(f"{found[2]!r} is no id.", param_hint="--subject")
    return found[1], int(found[2])


def _account(databases: Databases, reference: str) -> int:
    from marketplace_api.domain.identity.accounts import lifecycle

    with databases.session() as session:
        return lifecycle.find(session, reference).user_id


def _suggestion(word: str, types: list[str], nouns: list[str]) -> str:
    from difflib import get_close_matches

    noun = get_close_matches(word.partition(".")[0], nouns, n=1)
    near = get_close_matches(word, types, n=1, cutoff=0.7)
    if near:
        return f"; did you mean {near[0]}?"
    if noun:
        known = ", ".join(known for known in types if known.startswith(f"{noun[0]}."))
        return f"; of {noun[0]} there are {known}."
    return f"; they are about {', '.join(nouns)}: `--type {nouns[0]}.*` is all of one, and docs/reference/events.md lists them."
