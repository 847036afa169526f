"""Whether this user can write into a folder, or make it; what is not there is not made."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

_BY_EFFECT = os.access in os.supports_effective_ids


def existing(folder: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    return next(place for place in (folder, *folder.parents) if place.exists())


def in_the_way(folder: Path) -> tuple[str, str] | None:
    """What keeps us from writing there, and what to do about it. A folder that is there is tried, with a file without a
    name; for one that is to be made the rights of the one above it tell."""
    try:
        there = existing(folder)
        # Effective ids are what writing goes by, also for a program that has changed its user.
        may_write = there.is_dir() and os.access(there, os.W_OK | os.X_OK, effective_ids=_BY_EFFECT)
    except PermissionError:
        return f"{folder} lies below a folder that is closed to this user", _rights(folder)
    if not may_write:
        return f"{folder} cannot be {'written' if there == folder else 'made'}", _rights(there)
    if there == folder:
        try:
            with tempfile.TemporaryFile(dir=folder) as file:
                file.write(b"doctor")
        except OSError as error:
            return f"{folder} cannot be written ({error.strerror})", _rights(folder)
    return None


def _rights(folder: Path) -> str:
    return f"Give this user the right to write in {folder}, or set DATA_DIR."
