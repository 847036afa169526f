"""Messages as JSON files, which the local senders write instead of sending."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from marketplace_api.errors import Unavailable


def write_message(folder: Path, message: Mapping[str, Any]) -> str:
    """Write a message to a JSON file in ``folder``; returns its name, which sorts by time.

    Nobody else may read the file, for it may hold a code. Raises :class:`Unavailable` where the folder cannot be written.
    """
    now = datetime.now(UTC)
    name = f"{now:%Y%m%dT%H%M%S.%fZ}-{secrets.token_hex(4)}"
    unfinished = folder / f".{name}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(orjson.dumps({**message, "date": now}, option=orjson.OPT_INDENT_2))
        unfinished.rename(folder / f"{name}.json")
    except OSError as error:
        with suppress(OSError):
            unfinished.unlink()
        raise Unavailable(f"The folder {folder} cannot be written ({error.strerror}).") from None
    return name
