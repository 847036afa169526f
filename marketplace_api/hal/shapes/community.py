"""What people say to and of each other: conversations, messages, blocks, reviews."""

from __future__ import annotations

from collections.abc import Mapping

from marketplace_api.hal.shapes.base import (
    AVERAGE,
    COUNT,
    FLAG,
    IDENTIFIER,
    MOMENT,
    OPTIONAL_MOMENT,
    OPTIONAL_TEXT,
    PAGE,
    TEXT,
    Embedded,
    Schema,
    Shape,
    exactly,
)

_REVIEW: Mapping[str, Schema] = {
    "review_id": IDENTIFIER,
    "listing_id": {"type": ["integer", "null"]},
    "reviewee_id": {"type": ["integer", "null"]},
    "reviewer_id": IDENTIFIER,
    "reviewer_username": {**OPTIONAL_TEXT, "description": "null once that account is gone."},
    "rating": {"type": "integer", "minimum": 1, "maximum": 5},
    "comment": TEXT,
    "date_posted": MOMENT,
    "date_updated": MOMENT,
    "reply": OPTIONAL_TEXT,
    "date_replied": OPTIONAL_MOMENT,
    "status": {"type": "string", "enum": ["published", "deleted"]},
    "is_moderated": {**FLAG, "description": "A moderator changed or deleted it."},
    "moderation_reason": {**OPTIONAL_TEXT, "description": "For those concerned and moderators."},
}
_STARS = ("1", "2", "3", "4", "5")

_MESSAGE: Mapping[str, Schema] = {
    "message_id": IDENTIFIER,
    "conversation_id": IDENTIFIER,
    "sender_id": IDENTIFIER,
    "receiver_id": IDENTIFIER,
    "listing_id": {"type": ["integer", "null"]},
    "content": TEXT,
    "timestamp_sent": MOMENT,
    "is_read": {**FLAG, "description": "By its receiver."},
    "is_removed": {**FLAG, "description": "By a moderator: `content` says so, and its own words are gone."},
    "moderation_reason": {**OPTIONAL_TEXT, "description": "Why it was removed, for its sender."},
}
_CONVERSATION: Mapping[str, Schema] = {
    "conversation_id": IDENTIFIER,
    "participant1_id": IDENTIFIER,
    "participant2_id": IDENTIFIER,
    "last_message_id": IDENTIFIER,
    "last_message_preview": {**TEXT, "maxLength": 140},
    "unreadCount": COUNT,
    "archived": {**FLAG, "description": "By the caller."},
    "is_blocked": {**FLAG, "description": "By the caller."},
    "timestamp_created": MOMENT,
    "timestamp_updated": MOMENT,
}

SHAPES: Mapping[str, Shape] = {
    "review": Shape(
        _REVIEW,
        ("self",),
        frozenset({"moderation_reason"}),
        {"reviewer": Embedded("user", many=False, always=False)},
        key="review_id",
    ),
    "reviews": Shape(
        {
            **PAGE,
            "rating_average": AVERAGE,
            "rating_count": COUNT,
            "histogram": {**exactly(dict.fromkeys(_STARS, COUNT)), "description": "How many of each number of stars."},
        },
        ("self", "first", "up"),
        frozenset({"totalIsCapped"}),
        {"reviews": Embedded("review")},
    ),
    "direct_message": Shape(_MESSAGE, ("self", "mkt:conversation"), frozenset({"moderation_reason"}), key="message_id"),
    "direct_messages": Shape(
        PAGE, ("self", "first", "up"), frozenset({"totalIsCapped"}), {"messages": Embedded("direct_message")}
    ),
    "participant": Shape(
        {
            "user_id": IDENTIFIER,
            "username": {**OPTIONAL_TEXT, "description": "null once that account is gone."},
            "profile_picture_url": OPTIONAL_TEXT,
            "is_available": FLAG,
        },
        (),
    ),
    "conversation": Shape(
        _CONVERSATION,
        ("self", "collection", "mkt:messages"),
        embedded={"other_participant": Embedded("participant", many=False)},
        key="conversation_id",
    ),
    "conversations": Shape(
        {**PAGE, "unreadCount": {**COUNT, "description": "In all conversations, archived ones too."}},
        ("self", "first"),
        frozenset({"totalIsCapped"}),
        {"conversations": Embedded("conversation")},
    ),
    "block": Shape({"user_id": IDENTIFIER, "username": OPTIONAL_TEXT, "date_blocked": MOMENT}, ("self", "collection")),
    "blocks": Shape(PAGE, ("self", "first"), frozenset({"totalIsCapped"}), {"blocks": Embedded("block")}),
}
