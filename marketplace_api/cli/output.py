"""What a command prints: tables for people, JSON or CSV for programs, remarks and questions on standard error."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, TextIO

import rich_click as click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from marketplace_api.characters import visible, visible_lines
from marketplace_api.cli import csv_text, terminal
from marketplace_api.cli.exit_codes import Refused
from marketplace_api.cli.terminal import say, say_json

PIPE_WIDTH = 10_000


@dataclass(frozen=True, slots=True)
class Output:
    """Where a command's results go, and in which shape: ``table``, ``json``, ``jsonl``, ``csv`` or ``ids``."""

    format: str = "table"
    yes: bool = False
    quiet: bool = False

    def rows(self, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
        """A list: a table of the named columns, which are those of CSV too; as JSON all fields of each row, printed as they come."""
        if self.format == "json":
            say_json(json.dumps(list(rows), default=_jsonable, ensure_ascii=False, indent=2))
        elif self.format == "jsonl":
            for row in rows:
                say_json(json.dumps(row, default=_jsonable, ensure_ascii=False))
        elif self.format == "csv":
            _print_csv(columns, rows)
        elif self.format == "ids":
            name = id_column(columns)
            for row in rows:
                say(row[name])
        else:
            _stdout().print(_table(columns, rows))

    def record(self, values: Mapping[str, Any], message: str = "") -> None:
        """One thing or what was done: an object; for people ``message`` if there is one, else name and value."""
        if self.format == "json":
            say_json(json.dumps(values, default=_jsonable, ensure_ascii=False, indent=2))
        elif self.format == "ids":
            # What a command did is told to people, unless it is one thing with an id.
            first = next(iter(values))
            say(values[first]) if first.endswith("_id") else self.remark(message)
        elif self.format != "table":
            self.rows(tuple(values), [values])
        elif message:
            say(message)
        else:
            table = Table(box=None, show_header=False, pad_edge=False)
            for name, value in values.items():
                table.add_row(f"[bold]{escape(visible(name))}[/bold]", escape(visible_lines(_shown(value))))
            _stdout().print(table)

    def remark(self, text: str) -> None:
        """Something worth knowing that is no result."""
        if not self.quiet:
            say(text, err=True)

    def confirm(self, question: str) -> None:
        """Go on only after a yes; ``--yes`` says it beforehand, and without a terminal nobody could."""
        if self.yes:
            return
        if not sys.stdin.isatty():
            raise Refused(f"{question} Nobody is here to answer: say --yes beforehand to confirm.")
        click.confirm(visible_lines(question), abort=True, err=True)

    def sample(self, columns: Sequence[str], rows: Sequence[Mapping[str, Any]], count: int, of: str) -> None:
        """Some of many, on standard error, and how many there are in all."""
        if self.quiet:
            return
        if rows:
            _console(sys.stderr).print(_table(columns, rows))
        more = f"; {len(rows)} of them are above" if count > len(rows) else ""
        matches = f"1 of the {of} matches" if count == 1 else f"{count:,} {of} match"
        say(f"{matches}{more}.", err=True)

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
            task = bar.add_task(escape(visible(text)), total=total)
            yield lambda some: bar.advance(task, some)

    @contextmanager
    def working(self, text: str) -> Iterator[Callable[[str], None]]:
        """Shows that something takes a while, on a terminal only; gives what changes the text meanwhile."""
        console = Console(stderr=True)
        if self.quiet or not console.is_terminal:
            yield lambda _text: None
            return
        with console.status(escape(visible(text))) as status:
            yield lambda text: status.update(escape(visible(text)))


def _stdout() -> Console:
    return _console(sys.stdout)


def _console(stream: TextIO) -> Console:
    # Piped output is never folded to eighty columns: programs cut fields from it.
    return Console(file=stream, width=None if stream.isatty() else PIPE_WIDTH, highlight=False)


def _table(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> Table:
    table = Table(*map(visible, columns), box=None, header_style="bold", pad_edge=False)
    for row in rows:
        # A row is one line: what has several would pass for several rows.
        table.add_row(*(escape(visible(_shown(row.get(column)))) for column in columns))
    return table


def id_column(columns: Sequence[str]) -> str:
    """The column that names each row of a list; raises Refused for a list of things without ids."""
    found = next((column for column in columns if column.endswith("_id")), None)
    if found is None:
        raise Refused("--ids: what this prints has no ids; take --output csv, or --json.")
    return found


def _print_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """A heading and a line for each row."""
    writer = csv.writer(terminal.stdout(), lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow(csv_cells(columns, row))


def csv_cells(columns: Sequence[str], row: Mapping[str, Any]) -> list[Any]:
    """The cells of one line of CSV: text as ``csv_text`` writes it, and JSON for what is no plain value."""
    return [_cell(row.get(name)) for name in columns]


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return csv_text.escaped(value)
    if value is None or (isinstance(value, int | float | Decimal) and not isinstance(value, bool)):
        return value
    if isinstance(value, datetime | date):
        return value.isoformat()
    return json.dumps(value, default=_jsonable, ensure_ascii=False)


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(map(str, value))
    return str(value)


def _jsonable(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    return str(value)
