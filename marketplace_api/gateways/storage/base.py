"""What every storage of files can do, and the names that files have in it."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Protocol

CONTENT_TYPES = {
    "webp": "image/webp",
    "jpg": "image/jpeg",
    "png": "image/png",
    "mp4": "video/mp4",
    "webm": "video/webm",
    "bin": "application/octet-stream",
}
"""By the ending of a key: nothing else says what a file is."""

KEY = re.compile(r"([a-z]{1,20})-([0-9a-f]{32})(?:-([a-z]{1,20}))?\.([a-z0-9]{2,4})")
"""Kind, 128 random bits, variant and ending. No separators of folders, so a key is never a way anywhere."""

CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file without its content; ``etag`` names the content (opaque, unquoted), ``modified`` is UTC."""

    key: str
    size: int
    etag: str
    modified: datetime

    @property
    def content_type(self) -> str:
        return content_type_of(self.key)


class Storage(Protocol):
    """A flat space of immutable files. All methods raise :class:`Unavailable` while it is away or full."""

    def put(self, key: str, content: IO[bytes]) -> None:
        """Keep what is left of ``content``, whole or not at all: it is there for good when this returns."""

    def find(self, key: str) -> StoredFile | None:
        """What is known of the file, ``None`` if there is none."""

    def read(self, key: str, first: int = 0, last: int | None = None) -> Iterator[bytes] | None:
        """The bytes from ``first`` to ``last``, both included, in chunks; ``None`` if there is no such file.

        A position beyond the end counts as the end. Whoever does not read to the end calls ``close()``.
        """

    def delete(self, key: str) -> None:
        """The file is not there any more; no error if it never was."""

    def walk(self, prefix: str) -> Iterator[StoredFile]:
        """All files whose keys begin so, in no particular order."""

    def signed_url(self, key: str, seconds: int) -> str:
        """An address, or a path on this service, that gives the file to anybody for so long and no longer."""

    def tidy(self, before: datetime) -> int:
        """Remove what writing left behind that was cut off before then; how many pieces."""

    def check(self) -> None:
        """Return if files can be written and read."""


def new_key(kind: str, ending: str, variant: str = "", name: str = "") -> str:
    """A key nobody can guess; the variants of one thing share the random ``name``."""
    key = f"{kind}-{name or new_name()}{'-' if variant else ''}{variant}.{ending}"
    parts_of(key)
    return key


def new_name() -> str:
    """128 random bits as hexadecimal digits."""
    return secrets.token_hex(16)


def parts_of(key: str) -> tuple[str, str, str]:
    """Kind, random name and ending of a key; raises ValueError for whatever is none."""
    match = KEY.fullmatch(key)
    if match is None or match[4] not in CONTENT_TYPES:
        raise ValueError(f"not a key: {key[:80]!r}")
    return match[1], match[2], match[4]


def content_type_of(key: str) -> str:
    """The media type of the file of this key; raises ValueError."""
    return CONTENT_TYPES[parts_of(key)[2]]
