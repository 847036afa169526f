"""Files that rows name, held against the storage and against what a backup holds; in the order of their keys."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

import psycopg

from marketplace_api.backup.archive import FILES, LISTING, Member, Reader
from marketplace_api.domain.media.files.store import KINDS
from marketplace_api.gateways.storage import Storage, StoredFile

STORED = "stored"
MOST_NAMED = 10_000
_EVER = datetime.max.replace(tzinfo=UTC)
_DIGITS = "0123456789abcdef"
_ROWS = (
    "SELECT key, size, encode(sha256, 'hex') AS sha256, state FROM public.files "
    'WHERE key > %s ORDER BY key COLLATE "C" LIMIT 5000'
)
_STILL_STORED = "SELECT key FROM public.files WHERE key = ANY(%s) AND state = 'stored'"


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of ``files``: ``size`` in bytes, ``sha256`` in hexadecimal digits, both of the object as it is stored."""

    key: str
    size: int
    sha256: str
    state: str

    def line(self) -> bytes:
        values = {"key": self.key, "size": self.size, "sha256": self.sha256, "state": self.state}
        return json.dumps(values).encode() + b"\n"

    def is_whole(self, chunks: Iterable[bytes] | None) -> bool:
        """Whether these are the bytes that were stored once."""
        if chunks is None:
            return False
        digest, size = hashlib.sha256(), 0
        for chunk in chunks:
            digest.update(chunk)
            size += len(chunk)
        return (size, digest.hexdigest()) == (self.size, self.sha256)


@dataclass(slots=True)
class Found:
    """What a storage holds of what it should: counts, and the first :data:`MOST_NAMED` keys of those that it does not.

    ``strays`` are objects that no row names, ``young_count`` counts those that a request may still be about to name.
    """

    present: int = 0
    missing: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)
    missing_count: int = 0
    damaged_count: int = 0
    strays_count: int = 0
    young_count: int = 0

    def add(self, kind: str, key: str) -> None:
        setattr(self, f"{kind}_count", getattr(self, f"{kind}_count") + 1)
        if len(names := getattr(self, kind)) < MOST_NAMED:
            names.append(key)


def rows(connection: psycopg.Connection[Any]) -> Iterator[Entry]:
    """All rows of the database that ``connection`` sees."""
    last = ""
    while found := connection.execute(_ROWS, [last]).fetchall():
        yield from (Entry(*row) for row in found)
        last = found[-1][0]


def listed(reader: Reader) -> Iterator[Entry]:
    """All rows as the backup lists them."""
    with reader.open(reader.parts[LISTING]) as file:
        for line in file:
            yield Entry(**json.loads(line))


def members(reader: Reader) -> Iterator[tuple[Entry, Member]]:
    """The files in the backup, each with its row; raises BackupError for one that no row names."""
    entries = listed(reader)
    for member in reader.members():
        if member.name.startswith(FILES):
            key = member.name.removeprefix(FILES)
            # Both are in the order of keys; not every row has a file here.
            entry = next((entry for entry in entries if entry.key == key), None)
            if entry is None:
                raise reader.damaged(f"{member.name} is not in its list")
            yield entry, member


def compare(entries: Iterable[Entry], storage: Storage, *, contents: bool, strays_before: datetime = _EVER) -> Found:
    """Hold the stored ones among ``entries`` against the storage; with ``contents`` every byte is read.

    What is younger than ``strays_before`` may belong to a request under way, and is no stray. What is not named and laid
    out as the service does is not seen. Raises Unavailable while the storage is away.
    """
    found, looked = Found(), set()
    for prefix, group in groupby(entries, key=_prefix):
        looked.add(prefix)
        # A sixteenth of a kind at a time: that many objects are held in memory.
        objects = {file.key: file for file in storage.walk(prefix)}
        for entry in group:
            present = objects.pop(entry.key, None)
            if entry.state == STORED:
                _judge(found, entry, present, storage, contents=contents)
        _count_strays(found, objects.values(), strays_before)
    for prefix in (f"{kind}-{digit}" for kind in sorted(KINDS) for digit in _DIGITS):
        if prefix not in looked:
            _count_strays(found, storage.walk(prefix), strays_before)
    return found


def still_stored(connection: psycopg.Connection[Any], keys: list[str]) -> list[str]:
    """Those that rows still name: others were deleted while we looked."""
    kept = {key for (key,) in connection.execute(_STILL_STORED, [keys]).fetchall()}
    return [key for key in keys if key in kept]


def _prefix(entry: Entry) -> str:
    return entry.key[: entry.key.index("-") + 2]


def _count_strays(found: Found, objects: Iterable[StoredFile], before: datetime) -> None:
    for file in objects:
        if file.modified < before:
            found.add("strays", file.key)
        else:
            found.young_count += 1


def _judge(found: Found, entry: Entry, present: StoredFile | None, storage: Storage, *, contents: bool) -> None:
    if present is None:
        found.add("missing", entry.key)
    elif present.size != entry.size or (contents and not entry.is_whole(storage.read(entry.key))):
        found.add("damaged", entry.key)
    else:
        found.present += 1
