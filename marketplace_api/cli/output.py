"""What a command prints: tables for people, one JSON document for programs, remarks and questions on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import rich_click as click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

PIPE_WIDTH = 10_000


@dataclass(frozen=True, slots=True)
class Output:
    """Where a command's results go, and in which shape."""

    as_json: bool = False
    yes: bool = False
    quiet: bool = False

    def rows(self, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
        """A list: an array of objects, or a table of the named columns."""
        if self.as_json:
            self._document(list(rows))
            return
        table = Table(*columns, box=None, header_style="bold", pad_edge=False)
        for row in rows:
            table.add_row(*(escape(_shown(row.get(column))) for column in columns))
        _console().print(table)

    def record(self, values: Mapping[str, Any], message: str = "") -> None:
        """One thing or what was done: an object; for people ``message`` if there is one, else name and value."""
        if self.as_json:
            self._document(values)
        elif message:
            click.echo(message)
        else:
            table = Table(box=None, show_header=False, pad_edge=False)
            for name, value in values.items():
                table.add_row(f"[bold]{escape(name)}[/bold]", escape(_shown(value)))
            _console().print(table)

    def remark(self, text: str) -> None:
        """Something worth knowing that is no result."""
        if not self.quiet:
            click.echo(text, err=True)

    def confirm(self, question: str) -> None:
        """Go on only after a yes; ``--yes`` says it beforehand, and without a terminal nobody could."""
        if self.yes:
            return
        if not sys.stdin.isatty():
            raise click.UsageError(f"{question} Say --yes (before the command) to confirm without a terminal.")
        click.confirm(question, abort=True, err=True)

    def sample(self, columns: Sequence[str], rows: Sequence[Mapping[str, Any]], count: int, of: str) -> None:
        """Some of many, on standard error, and how many there are in all."""
        if self.quiet:
            return
        if rows:
            table = Table(*columns, box=None, header_style="bold", pad_edge=False)
            for row in rows:
                table.add_row(*(escape(_shown(row.get(column))) for column in columns))
            Console(stderr=True, highlight=False).print(table)
        more = f"; {len(rows)} of them are above" if count > len(rows) else ""
        matches = f"1 of the {of} matches" if count == 1 else f"{count:,} {of} match"
        click.echo(f"{matches}{more}.", err=True)

    @contextmanager
    def progress(self, text: str, total: int) -> Iterator[Callable[[int], None]]:
        """A bar, on a terminal only; the block calls what it gets with how many more are done."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        if self.quiet or not console.is_terminal:
            yield lambda _some: None
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(escape(text), total=total)
            yield lambda some: bar.advance(task, some)

    @contextmanager
    def working(self, text: str) -> Iterator[Callable[[str], None]]:
        """Shows that something takes a while, on a terminal only; gives what changes the text meanwhile."""
        console = Console(stderr=True)
        if self.quiet or not console.is_terminal:
            yield lambda _text: None
            return
        with console.status(escape(text)) as status:
            yield lambda text: status.update(escape(text))

    def _document(self, value: Any) -> None:
        click.echo(json.dumps(value, default=_jsonable, ensure_ascii=False, indent=2))


def _console() -> Console:
    # Piped output is never folded to eighty columns: programs cut fields from it.
    return Console(width=None if sys.stdout.isatty() else PIPE_WIDTH, highlight=False)


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(map(str, value))
    return str(value)


def _jsonable(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, set | frozenset):
        return sorted(value)
    return str(value)
