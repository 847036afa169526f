r"""The one way from a command to a terminal: whatever is printed for people goes through here, and shows what would be obeyed.

Titles, reasons and names of devices are written by strangers. An escape sequence in one of them could clear the screen,
write into the clipboard, or hide a line; here it is ``\x1b[2J`` to read. JSON says the same by its own escapes, so that its
values stay exact.
"""

from __future__ import annotations

import io
import sys
import traceback
from types import TracebackType
from typing import IO, Any, TextIO

import rich_click as click

from marketplace_api.characters import visible_colored, visible_json, visible_lines


def say(text: object, *, err: bool = False, nl: bool = True) -> None:
    """Text for people, on standard output or standard error; its lines stay lines."""
    click.echo(visible_lines(str(text)), err=err, nl=nl)


def say_colored(text: str) -> None:
    """What a process of ours wrote for a terminal: its colours stay."""
    click.echo(visible_colored(text))


def say_json(document: str) -> None:
    """A JSON document, or a line of them."""
    click.echo(visible_json(document))


def say_line(line: str) -> None:
    """A line on standard error, above the bar that may be there: only what goes by ``sys.stderr`` makes way for it."""
    sys.stderr.write(f"{visible_lines(line)}\n")
    sys.stderr.flush()


def tell_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """``sys.excepthook``: the traceback of a mistake of ours may repeat what a row held."""
    sys.stderr.write(visible_lines("".join(traceback.format_exception(kind, error, trace))))


def stdout() -> TextIO:
    """Standard output for CSV: exact for a pipe; a terminal, which keeps nothing, is shown what it would obey."""
    return _Screen() if sys.stdout.isatty() else sys.stdout


def stdout_of_bytes() -> IO[bytes]:
    """The same for files in UTF-8, of which whole lines are written at a time."""
    return _ScreenOfBytes() if sys.stdout.isatty() else sys.stdout.buffer


class _Screen(io.TextIOBase, TextIO):
    def write(self, text: str) -> int:
        sys.stdout.write(visible_lines(text.replace("\r\n", "\n")))
        return len(text)

    def flush(self) -> None:
        sys.stdout.flush()


class _ScreenOfBytes(io.BytesIO):
    def write(self, content: Any) -> int:
        raw = bytes(content)
        _Screen().write(raw.decode("utf-8", "replace"))
        return len(raw)

    def flush(self) -> None:
        sys.stdout.flush()
