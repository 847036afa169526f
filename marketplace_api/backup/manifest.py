"""What a backup says of itself: versions, tables, and which keys and roles belong to it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from marketplace_api.backup.tables import Facts

FORMAT = 1


@dataclass(frozen=True, slots=True)
class FileFacts:
    """Files that rows name: how many are ``stored`` (and their ``bytes``), and those that are ``included`` here.

    ``gone`` were deleted while the backup was made; ``damaged`` are missing or changed in the storage.
    """

    stored: int
    bytes: int
    included: int | None
    gone: tuple[str, ...]
    damaged: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """``server`` and ``pg_dump`` are versions such as ``18.6``; ``made_at`` is the moment of the snapshot, ISO 8601.

    ``document_keys`` counts the sealed documents by the id of the key that opens them; ``roles`` are those that grants
    and policies name.
    """

    application: str
    migration: str
    server: str
    pg_dump: str
    made_at: str
    tables: Mapping[str, Facts]
    files: FileFacts
    document_keys: Mapping[str, int]
    extensions: Mapping[str, str]
    roles: tuple[str, ...]
    format: int = FORMAT

    def dump(self) -> bytes:
        return json.dumps(asdict(self), indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"

    @classmethod
    def load(cls, text: str) -> Self:
        """Raises ValueError, KeyError or TypeError for what is none of this format."""
        values: dict[str, Any] = json.loads(text)
        if values["format"] != FORMAT:
            return cls(**dict.fromkeys(_NAMES, ""), format=int(values["format"]))  # type: ignore[arg-type]
        values["tables"] = {name: Facts(**facts) for name, facts in values["tables"].items()}
        files = values["files"]
        values["files"] = FileFacts(**{**files, "gone": tuple(files["gone"]), "damaged": tuple(files["damaged"])})
        values["roles"] = tuple(values["roles"])
        return cls(**values)

    @property
    def rows(self) -> int:
        return sum(facts.rows for facts in self.tables.values())


_NAMES = tuple(name for name in Manifest.__slots__ if name != "format")
