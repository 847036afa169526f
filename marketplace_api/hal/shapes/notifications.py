"""Notifications and what people want of them."""

from __future__ import annotations

from collections.abc import Mapping

from marketplace_api.domain.outbound.notifications.types import CHANNELS, KINDS
from marketplace_api.hal.shapes.base import (
    COUNT,
    FLAG,
    IDENTIFIER,
    MOMENT,
    OPTIONAL_MOMENT,
    OPTIONAL_TEXT,
    PAGE,
    TEXT,
    Embedded,
    Shape,
    closed,
    exactly,
)

_TIME = {"type": "string", "pattern": "^[0-9]{2}:[0-9]{2}$"}
_DATA = closed(
    {
        **dict.fromkeys(
            (
                "actor_id",
                "listing_id",
                "conversation_id",
                "review_id",
                "session_id",
                "message_id",
                "verification_id",
                "report_id",
            ),
            IDENTIFIER,
        ),
        **dict.fromkeys(("previous_price", "price", "currency"), TEXT),
        "reason": OPTIONAL_TEXT,
        "until": OPTIONAL_MOMENT,
    },
    [],
)

SHAPES: Mapping[str, Shape] = {
    "notification": Shape(
        {
            "notification_id": IDENTIFIER,
            "user_id": IDENTIFIER,
            "type": {"type": "string", "enum": [type.value for type in KINDS]},
            "related_entity_id": {"type": ["integer", "null"], "description": "The id of what it is about."},
            "title": TEXT,
            "content": TEXT,
            "count": {**IDENTIFIER, "description": "How many events it tells of, as long as it is unread."},
            "data": {**_DATA, "description": "Further ids, and what a decision said."},
            "is_read": FLAG,
            "timestamp_created": MOMENT,
            "timestamp_updated": {**MOMENT, "description": "When the latest of the events was told."},
        },
        ("self", "collection"),
        key="notification_id",
    ),
    "notifications": Shape(
        {**PAGE, "unreadCount": {**COUNT, "description": "Of all notifications, whatever the page shows."}},
        ("self", "first", "mkt:notification-preferences"),
        frozenset({"totalIsCapped"}),
        {"notifications": Embedded("notification")},
    ),
    "notification_preferences": Shape(
        {
            "user_id": IDENTIFIER,
            "types": exactly({type.value: exactly(dict.fromkeys(CHANNELS, FLAG)) for type in KINDS}),
            "quiet_hours": {**exactly({"start": _TIME, "end": _TIME, "time_zone": TEXT}), "type": ["object", "null"]},
            "digest": exactly({"enabled": FLAG, "time": _TIME, "time_zone": TEXT}),
            "date_updated": OPTIONAL_MOMENT,
        },
        ("self", "up", "mkt:notifications"),
    ),
}
