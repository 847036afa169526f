"""Files that commands write: one way for all of them. What is there already stays, unless --yes says that it may go."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import rich_click as click

from marketplace_api.cli.context import Context
from marketplace_api.cli.exit_codes import AlreadyExists
from marketplace_api.cli.terminal import stdout_of_bytes

STDOUT = Path("-")
FILE = click.Path(dir_okay=False, allow_dash=True, path_type=Path)
"""The type of an option that names a file to write; `-` is standard output."""


def is_stdout(path: Path | None) -> bool:
    """Whether what is written goes to standard output: no file, or `-`."""
    return path is None or path == STDOUT


def refuse_existing(context: Context, path: Path) -> None:
    """Raises InTheWay where something has this name, unless --yes was said."""
    if os.path.lexists(path) and not context.yes:
        raise AlreadyExists(f"{path} is there already: choose another name, or replace it with --yes.")


@contextmanager
def written(context: Context, path: Path | None, *, private: bool = True) -> Iterator[IO[bytes]]:
    """Standard output, or a new file that gets its name once it is whole; ``private``: only this user may read it.

    Raises InTheWay where there is such a file already and --yes was not said, and ClickException where it cannot be
    written.
    """
    if path is None or is_stdout(path):
        yield stdout_of_bytes()
        return
    refuse_existing(context, path)
    draft = path.with_name(f".{path.name[:100]}.{os.getpid()}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if private else 0o666)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                yield stream
            _name(context, draft, path)
        finally:
            with suppress(OSError):
                draft.unlink()
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written: {error.strerror}.") from None


def _name(context: Context, draft: Path, path: Path) -> None:
    if context.yes:
        draft.replace(path)
        return
    try:
        # A link fails where the name is taken meanwhile; to rename would overwrite.
        os.link(draft, path)
    except FileExistsError:
        refuse_existing(context, path)
        raise
    except OSError:
        draft.rename(path)  # not every file system knows links
