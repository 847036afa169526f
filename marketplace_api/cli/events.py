"""`marketplace-admin events`: who did what, to what, when and why; the log as it grows, and as a file."""

from __future__ import annotations

import os
import re
import select
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import rich_click as click

from marketplace_api.cli.context import Context, pass_context
from marketplace_api.cli.values import SINCE

if TYPE_CHECKING:
    from marketplace_api.db import Databases
    from marketplace_api.domain.audit import Wanted

_SUBJECT = re.compile(r"([a-z_]+):([^:]+)")


def _narrowing(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say which events."""
    options: tuple[Callable[[Callable[..., Any]], Callable[..., Any]], ...] = (
        click.option("--until", type=SINCE, help="Before this time."),
        click.option("--since", type=SINCE, help="From this time on: an age such as 2h or 7d, or a date (UTC)."),
        click.option("--subject", metavar="KIND:ID", help="About this, such as listing:12 or user:ada."),
        click.option("--actor", metavar="USER", help="By this account: an id, a user name or an e-mail address."),
        click.option("--type", "kind", metavar="TYPE", help="Of this type, such as listing.status_changed."),
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

    Example: `marketplace-admin events tail --follow --type listing.status_changed`
    """
    from marketplace_api.cli import event_lines
    from marketplace_api.domain import audit

    with _to_the_end(interruptible=follow), context.databases() as databases:
        wanted = _wanted(databases, **narrowing)
        if follow:
            _follow(context, databases, wanted, limit)
            return
        with databases.primary_reader() as db:
            rows = audit.newest(db, wanted, limit)
            lines = [event_lines.fields(row) for row in rows] if context.for_programs else event_lines.lines(db, rows)
        context.output.rows(event_lines.COLUMNS, lines)


@events.command()
@click.argument("event_id", type=click.IntRange(1, 2**63 - 1), help="The event's id, as `events tail` shows it.")
@pass_context
def show(context: Context, event_id: int) -> None:
    """Show one event, whole.

    Example: `marketplace-admin --json events show 42`
    """
    from marketplace_api.cli import event_lines
    from marketplace_api.domain import audit
    from marketplace_api.errors import NotFound

    with context.databases() as databases, databases.primary_reader() as db:
        row = audit.find(db, event_id)
    if row is None:
        raise NotFound(f"There is no event {event_id}.")
    context.output.record(event_lines.fields(row))


@events.command()
@_narrowing
@click.option(
    "--to", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write here; else to standard output."
)
@pass_context
def export(context: Context, /, *, file: Path | None, **narrowing: Any) -> None:
    """Write events as JSON lines, the oldest first: everything up to now, however much that is.

    A FILE is complete when it is there; one that exists is replaced after a confirmation.

    Example: `marketplace-admin events export --since 30d --to events.jsonl`
    """
    from marketplace_api.cli import event_lines
    from marketplace_api.domain import audit

    if file is not None and file.exists():
        context.output.confirm(f"Replace {file}?")
    count = 0
    with context.databases() as databases, databases.primary_reader() as db, _written(file) as stream, _to_the_end():
        wanted = _wanted(databases, **narrowing)
        top = audit.top_id(db)
        with context.output.progress("Exporting (by id)", top) as step:
            last = 0
            for rows in audit.walk(db, wanted, top):
                stream.write(event_lines.json_lines(rows))
                count += len(rows)
                step(rows[-1].event_id - last)
                last = rows[-1].event_id
    if file is None:
        context.output.remark(f"{count:,} events.")
    else:
        context.output.record({"events": count, "file": str(file)}, f"{count:,} events in {file}.")


def _follow(context: Context, databases: Databases, wanted: Wanted, limit: int) -> None:
    """What there is, then what comes, until Ctrl-C or until nobody reads any more."""
    from marketplace_api.cli import event_lines
    from marketplace_api.domain import audit, feed

    with databases.primary_reader() as db:
        horizon = feed.horizon(db)
        past = audit.newest(db, wanted, limit) if limit else ()
        old = [row for row in past if row.event_id <= horizon]
    if not context.for_programs:
        click.echo(event_lines.head())
    _print(context, databases, old)
    for rows in feed.follow(databases, horizon, context.output.remark):
        _print(context, databases, [row for row in rows if feed.matches(wanted, row)])
        if _is_closed(sys.stdout):
            return


def _print(context: Context, databases: Databases, rows: list[Any]) -> None:
    from marketplace_api.cli import event_lines

    if not rows:
        return
    if context.for_programs:
        click.echo(event_lines.json_lines(rows), nl=False)
        return
    with databases.primary_reader() as db:
        lines = event_lines.lines(db, rows)
    click.echo("".join(f"{event_lines.padded(line)}\n" for line in lines), nl=False)


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


@contextmanager
def _written(file: Path | None) -> Iterator[IO[bytes]]:
    """Standard output, or a file that gets its name once it is complete."""
    if file is None:
        yield sys.stdout.buffer
        return
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        # Only for its owner: the log tells who did what.
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            yield stream
        draft.replace(file)
    except OSError as error:
        raise click.ClickException(f"{file} cannot be written: {error.strerror}.") from None
    finally:
        draft.unlink(missing_ok=True)


def _wanted(
    databases: Databases, *, kind: str | None, actor: str | None, subject: str | None,
    since: datetime | None, until: datetime | None,
) -> Wanted:  # fmt: skip
    from marketplace_api.domain.audit import Wanted
    from marketplace_api.domain.events import EventType

    types = [known.value for known in EventType]
    if kind is not None and kind not in types:
        raise click.BadParameter(f"There is no type {kind!r}{_meant(kind, types)}", param_hint="--type")
    subject_type, subject_id = _subject(databases, subject, types) if subject is not None else (None, None)
    actor_id = _account(databases, actor) if actor is not None else None
    return Wanted(subject_type, subject_id, actor_id, kind, since, until)


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
    from marketplace_api.domain.accounts import lifecycle

    with databases.session() as session:
        return lifecycle.find(session, reference).user_id


def _meant(word: str, words: list[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(word, words, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else "; docs/reference/events.md lists them."
