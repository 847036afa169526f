"""What a file of listings looks like: CSV with a header, or one JSON object a line. Read as a stream, never whole.

A row is numbered as people count: in CSV from 1 after the header, in JSONL by its line. What cannot be read is handed
on as the reason why, so that the rows after it still count; a file that is wrong as a whole is refused at once.
"""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import colander
import orjson
import rich_click as click

from marketplace_api.cli import csv_text
from marketplace_api.domain.catalog.listings.editing import PLACE
from marketplace_api.domain.catalog.listings.import_ import Row, Validate
from marketplace_api.errors import FieldError, Invalid
from marketplace_api.schemas.base import field_errors
from marketplace_api.schemas.catalog.listings import CreateListing
from marketplace_api.schemas.types import Email

LISTS = ("amenities", "photos_urls")
COLUMNS = ("owner_email", "title", "description", "category", "price", "currency", *PLACE, *LISTS, "status")
REQUIRED = ("owner_email", "title", "category", "price")
STDIN = Path("-")
LONGEST_LINE = 1024 * 1024
"""Characters of CSV, bytes of JSONL; far more than any listing may have, and little to hold in memory."""

BOM = b"\xef\xbb\xbf"
# How bytes that are no UTF-8 arrive from the decoder.
_UNDECODED = re.compile("[\udc80-\udcff]")


class ImportedListing(CreateListing):
    """A new listing with the address of its owner."""

    owner_email = colander.SchemaNode(Email(), title="Owner's e-mail")


@dataclass(frozen=True, slots=True)
class ListingFile:
    """An open file of listings. ``size`` and ``position`` are in bytes and tell how far the reading has come; both are 0
    for a pipe."""

    path: Path
    size: int
    rows: Iterator[tuple[int, Row]]
    stream: BinaryIO

    @property
    def position(self) -> int:
        return self.stream.tell() if self.size else 0


@contextmanager
def opened(path: Path, format_: str) -> Iterator[ListingFile]:
    """The file at ``path`` (``-``: standard input), its header checked; ``format_`` is ``csv`` or ``jsonl``.

    Raises ``click.ClickException`` saying what is wrong with it.
    """
    try:
        with ExitStack() as stack:
            stream = sys.stdin.buffer if path == STDIN else stack.enter_context(path.open("rb"))
            size = 0 if path == STDIN else path.stat().st_size
            if size == 0 and path != STDIN:
                raise click.ClickException(f"{path} is empty: there is nothing to import.")
            if format_ == "jsonl":
                rows = _json_rows(stream)
            else:
                text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
                stack.callback(text.detach)  # whoever opened the stream closes it
                rows = _csv_rows(path, text)
            yield ListingFile(path, size, rows, stream)
    except OSError as error:
        raise click.ClickException(f"{path} cannot be read: {error.strerror}.") from None


def validator() -> Validate:
    """The check of one row by the API's own schema for a new listing."""
    schema = ImportedListing()

    def validate(raw: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            fields: Mapping[str, Any] = schema.deserialize(_body(raw))
        except colander.Invalid as problem:
            errors = [
                replace(error, name=error.name.removeprefix("location.")) for error in field_errors(problem, "body")
            ]
            raise Invalid("This is no listing.", errors=errors) from None
        return fields

    return validate


def format_of(path: Path, given: str | None) -> str:
    """``csv`` or ``jsonl``, after the name of a file, as ``given`` for standard input.

    Raises ``click.BadParameter`` where the name says neither, ``click.UsageError`` where nothing was given.
    """
    if path == STDIN:
        if given is None:
            raise click.UsageError("Say with --format what comes by standard input: csv or jsonl.")
        return given
    ending = path.suffix.lower()
    if ending not in (".csv", ".jsonl"):
        raise click.BadParameter(f"{path} must end in .csv or .jsonl, so that its format is known.")
    return ending[1:]


def list_cell(values: Sequence[str]) -> str:
    """Several values in one cell of CSV: separated by ``|``, or a JSON array where that would say something else."""
    plain = "|".join(values)
    return plain if _list(plain) == list(values) else orjson.dumps(list(values)).decode()


def _list(cell: str) -> list[str]:
    """The values in one cell; see :func:`list_cell`."""
    if cell.startswith("["):
        with suppress(orjson.JSONDecodeError):
            values = orjson.loads(cell)
            if isinstance(values, list) and all(isinstance(value, str) for value in values):
                return values
    return [part for part in map(str.strip, cell.split("|")) if part]


def _body(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The flat names of files as the API nests them; what is nested already stays."""
    body = dict(raw)
    if "location" not in body:
        place = {name: body.pop(name) for name in PLACE if name in body}
        if place:
            body["location"] = place
    for name in LISTS:
        if isinstance(body.get(name), str):
            body[name] = _list(body[name])
    return body


def _csv_rows(path: Path, text: TextIO) -> Iterator[tuple[int, Row]]:
    """Checks the header at once; the rows come as the iterator is read."""
    reader = csv.reader(iter(lambda: text.readline(LONGEST_LINE), ""), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise click.ClickException(f"{path} does not begin with a CSV header: {error}.") from None
    _check_header(path, header)
    return _numbered(reader, header)


def _check_header(path: Path, header: Sequence[str]) -> None:
    known = f"Known columns are {', '.join(COLUMNS)}."
    if any("\x00" in name or _UNDECODED.search(name) for name in header):
        raise click.ClickException(f"{path} is not UTF-8 text: save it as CSV in UTF-8, separated by commas.")
    if not any(header):
        raise click.ClickException(f"{path} has no header in its first line. {known}")
    for position, name in enumerate(header):
        if name not in COLUMNS:
            raise click.ClickException(f"{path} has an unknown column {name[:60]!r}. {known}")
        if name in header[:position]:
            raise click.ClickException(f"{path} has the column {name} twice.")
    for name in REQUIRED:
        if name not in header:
            raise click.ClickException(f"{path} lacks the column {name}. Required are {', '.join(REQUIRED)}.")


def _numbered(reader: Iterator[list[str]], header: Sequence[str]) -> Iterator[tuple[int, Row]]:
    number = 0
    while True:
        number += 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            # The reader begins afresh with the next line.
            yield number, _unreadable(f"The quotes of this row do not match or a cell never ends ({error}).")
            continue
        if not cells:
            number -= 1  # a blank line is no row
            continue
        yield number, _mapping(header, cells)


def _mapping(header: Sequence[str], cells: Sequence[str]) -> Row:
    if len(cells) != len(header):
        return _unreadable(f"This row has {len(cells)} cells, the header has {len(header)}.")
    values = {
        name: csv_text.unescaped(text) for name, cell in zip(header, cells, strict=True) if (text := cell.strip())
    }
    for name, text in values.items():
        if not text.isascii() and _UNDECODED.search(text):
            return _unreadable("This is not UTF-8 text.", name)
    return values


def _json_rows(stream: BinaryIO) -> Iterator[tuple[int, Row]]:
    number = 0
    while line := stream.readline(LONGEST_LINE):
        number += 1
        if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
            while (rest := stream.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
                pass
            yield number, _unreadable(f"This line is longer than {LONGEST_LINE:,} bytes.")
        elif line.strip():
            yield number, _object(line.removeprefix(BOM) if number == 1 else line)


def _object(line: bytes) -> Row:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return _unreadable(f"This line is not JSON ({error}).")
    return value if isinstance(value, dict) else _unreadable("This line is JSON, but not an object.")


def _unreadable(message: str, name: str = "") -> Invalid:
    return Invalid(message, errors=[FieldError("body", name, "unreadable", message)])
