"""`marketplace-admin listings export`: listings as a file that `listings import` reads back."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

import rich_click as click

from marketplace_api.characters import visible_json
from marketplace_api.cli import csv_text
from marketplace_api.cli.bulk import counted
from marketplace_api.cli.context import Context, pass_context
from marketplace_api.cli.files import FILE, is_stdout, written

FORMATS = ("jsonl", "csv")
BATCH = 1_000
"""Rows that are written at a time."""

Encode = Callable[[Iterable[Any]], bytes]


@click.command()
@click.option(
    "--to",
    "output",
    metavar="FILE",
    type=FILE,
    help="A new file, which only this user may read; else, and with `-`, standard output.",
)
@click.option(
    "--format", "format_", type=click.Choice(FORMATS), help="Else as FILE is called, or as --output says, else jsonl."
)
@click.option("--where", metavar="CONDITIONS", help="Which, for example: category = cars and created < 7d")
@pass_context
def export(context: Context, *, output: Path | None, format_: str | None, where: str | None) -> None:
    """Write listings into a file, in the columns that `listings import` reads back.

    Without those that are deleted, or hidden because their owner was banned or is leaving. An import cannot begin with
    a listing that is sold, suspended, rejected or waiting: such are written as inactive, and counted. Conditions are
    those of `moderation bulk`. A FILE that exists is replaced with --yes only. In CSV an apostrophe stands before what a
    spreadsheet would compute (`'=1+1`); `listings import` takes it off again.

    Example: `marketplace-admin listings export --to cars.csv --where "category = cars and status = active"`
    """
    from marketplace_api.domain.catalog.listings import export as listing_export
    from marketplace_api.domain.kernel.filters import parse
    from marketplace_api.domain.trust.moderation.targets import LISTINGS

    kind = format_ or _format_of(context, output)
    conditions = parse(where, LISTINGS.fields, datetime.now(UTC)) if where is not None else ()
    clause = (lambda session: LISTINGS.clause(session, conditions)) if conditions else None
    with (
        context.databases() as databases,
        listing_export.exported(databases, clause) as rows,
        written(context, output) as stream,
        context.output.working("Exporting …") as progress,
    ):
        count, restarted = _write(stream, kind, rows, progress)
    if restarted:
        context.output.remark(
            f"{restarted:,} of them are sold, suspended, rejected or waiting; they are written as inactive."
        )
    if is_stdout(output):
        context.output.remark(f"Exported {counted(count, 'listing')}.")
        return
    values = {
        "action": "export",
        "file": str(output),
        "format": kind,
        "listings": count,
        "written_as_inactive": restarted,
    }
    context.output.record(values, f"Exported {counted(count, 'listing')} to {output}.")


def _format_of(context: Context, output: Path | None) -> str:
    """As the file is called, else as --output says."""
    named = output.suffix.lower().removeprefix(".") if output is not None else ""
    return next((kind for kind in (named, context.output_format) if kind in FORMATS), "jsonl")


def _write(stream: IO[bytes], kind: str, rows: Iterable[Any], progress: Callable[[str], None]) -> tuple[int, int]:
    """How many were written, and how many of them under another status than theirs."""
    encode = _as_csv if kind == "csv" else _as_json_lines
    written = restarted = 0
    if kind == "csv":
        stream.write(_header())
    for batch in _batches(rows):
        stream.write(encode(batch))
        written += len(batch)
        restarted += sum(row.is_restarted for row in batch)
        progress(f"Exporting … {counted(written, 'listing')}")
    stream.flush()
    return written, restarted


def _batches(rows: Iterable[Any]) -> Iterator[list[Any]]:
    batch: list[Any] = []
    for row in rows:
        batch.append(row)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _header() -> bytes:
    from marketplace_api.cli.listings.formats import COLUMNS

    return _csv_text([COLUMNS])


def _as_csv(rows: Iterable[Any]) -> bytes:
    from marketplace_api.cli.listings.formats import COLUMNS, LISTS, list_cell

    return _csv_text(
        [_cell(list_cell(getattr(row, name)) if name in LISTS else getattr(row, name)) for name in COLUMNS]
        for row in rows
    )


def _cell(value: Any) -> Any:
    return csv_text.escaped(value) if isinstance(value, str) else value


def _csv_text(lines: Iterable[Iterable[Any]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows(lines)
    return text.getvalue().encode()


def _as_json_lines(rows: Iterable[Any]) -> bytes:
    import orjson

    from marketplace_api.cli.listings.formats import COLUMNS

    lines = b"".join(
        orjson.dumps({name: value for name in COLUMNS if (value := _plain(getattr(row, name))) is not None}) + b"\n"
        for row in rows
    )
    return visible_json(lines.decode()).encode()


def _plain(value: Any) -> Any:
    # As text, so that no amount or position passes through binary fractions.
    return str(value) if isinstance(value, Decimal) else value
