"""Notifications for browsers as files in a folder, for development."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from marketplace_api.gateways.message_files import write_message
from marketplace_api.gateways.webpush.base import Push, Target, payload_of


@dataclass(frozen=True, slots=True)
class LocalPush:
    """Writes one JSON file per notification into ``folder``; the names sort by time."""

    folder: Path

    def send(self, target: Target, push: Push) -> None:
        payload_of(push)
        told = {"payload": push.payload, "ttl": push.ttl, "urgency": push.urgency, "topic": push.topic}
        write_message(self.folder, {"endpoint": target.endpoint, **told})
