"""What an endpoint is told of an event: ids and what changed, nothing personal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

# Where an admin opens what an event is about.
_PATHS = {
    "user": "/api/admin/users",
    "listing": "/api/listings",
    "review": "/api/reviews",
    "report": "/api/moderation/reports",
    "message": "/api/moderation/messages",
    "verification": "/api/moderation/verifications",
    "webhook": "/api/admin/webhooks",
}

# Words that people wrote about people; the log has them, for admins.
_WITHHELD = frozenset({"reason", "conditions", "file"})


def body(event: Any, public_url: str) -> bytes:
    """The JSON of an event, the same at each attempt; ``event`` is a row of the log."""
    path = _PATHS.get(event.subject_type)
    href = f"{public_url.rstrip('/')}{path}/{event.subject_id}" if path and event.subject_id is not None else None
    return orjson.dumps(
        {
            "id": event.event_id,
            "type": event.type,
            "created_at": event.date_created,
            "actor": {"user_id": event.actor_id} if event.actor_id is not None else None,
            "subject": {"type": event.subject_type, "id": event.subject_id, "href": href},
            "previous": _event_data(event.previous),
            "new": _event_data(event.new),
        }
    )


def _event_data(values: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if values is None:
        return None
    return {name: value for name, value in values.items() if name not in _WITHHELD}
