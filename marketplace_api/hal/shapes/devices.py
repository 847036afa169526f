"""Where notifications go outside of the application: telephone numbers and browsers."""

from __future__ import annotations

from collections.abc import Mapping

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
    Schema,
    Shape,
    exactly,
)
from marketplace_api.models.outbound.phones import PROBLEMS

_PROBLEM: Schema = {"type": ["string", "null"], "enum": [*PROBLEMS, None], "description": "Why no code can be sent."}
_WAITING = exactly(
    {
        "phone": TEXT,
        "is_sent": {**FLAG, "description": "A code was sent that can be told."},
        "attempts_left": COUNT,
        "expires_at": {
            **OPTIONAL_MOMENT,
            "description": "Until when the code counts: null until it is sent, within seconds mostly. Until then show that it is on its "
            "way, and ask again.",
        },
        "problem": _PROBLEM,
    }
)

SHAPES: Mapping[str, Shape] = {
    "phone": Shape(
        {
            "user_id": IDENTIFIER,
            "phone": {**OPTIONAL_TEXT, "description": "Confirmed, as E.164."},
            "confirmed_at": OPTIONAL_MOMENT,
            "is_stopped": {**FLAG, "description": "Its holder answered STOP: nothing is sent to it."},
            "waiting": {"oneOf": [_WAITING, {"type": "null"}], "description": "The number that waits to be confirmed."},
        },
        ("self", "up"),
    ),
    "push_subscription": Shape(
        {
            "subscription_id": IDENTIFIER,
            "endpoint": TEXT,
            "device": TEXT,
            "current": {**FLAG, "description": "Of the session that asks."},
            "date_created": MOMENT,
            "last_used": OPTIONAL_MOMENT,
        },
        ("self", "collection"),
    ),
    "push_subscriptions": Shape(
        {
            **PAGE,
            "vapid_public_key": {
                **OPTIONAL_TEXT,
                "description": "`applicationServerKey`; null where nothing is pushed.",
            },
        },
        ("self", "first", "up"),
        frozenset({"totalIsCapped"}),
        {"subscriptions": Embedded("push_subscription")},
    ),
}
