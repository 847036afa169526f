"""Messages that were reported."""

from __future__ import annotations

from collections.abc import Mapping

from marketplace_api.hal.shapes.base import IDENTIFIER, MOMENT, OPTIONAL_MOMENT, OPTIONAL_TEXT, TEXT, Shape

SHAPES: Mapping[str, Shape] = {
    "moderated_message": Shape(
        {
            "message_id": IDENTIFIER,
            "conversation_id": IDENTIFIER,
            "sender_id": IDENTIFIER,
            "sender_username": TEXT,
            "receiver_id": IDENTIFIER,
            "receiver_username": TEXT,
            "listing_id": {"type": ["integer", "null"]},
            "content": {**OPTIONAL_TEXT, "description": "For whom a report of it is assigned to."},
            "timestamp_sent": MOMENT,
            "status": {"type": "string", "enum": ["sent", "deleted"]},
            "moderation_reason": {**OPTIONAL_TEXT, "description": "Why it was removed; its sender reads it too."},
            "date_deleted": OPTIONAL_MOMENT,
        },
        ("self", "up", "author", "mkt:reports"),
    )
}
