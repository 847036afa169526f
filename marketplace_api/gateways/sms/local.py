"""Text messages as files in a folder, for development."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from marketplace_api.gateways.message_files import write_message


@dataclass(frozen=True, slots=True)
class LocalSms:
    """Writes one JSON file per message into ``folder``; the names sort by time."""

    folder: Path

    def send(self, number: str, text: str) -> str:
        return write_message(self.folder, {"to": number, "text": text})
