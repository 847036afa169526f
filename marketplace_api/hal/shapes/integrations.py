"""What programs deal with: their keys, and the feed of events."""

from __future__ import annotations

from collections.abc import Mapping

from marketplace_api.hal.shapes.base import (
    COUNT,
    IDENTIFIER,
    MOMENT,
    OPTIONAL_MOMENT,
    PAGE,
    TEXT,
    Embedded,
    Schema,
    Shape,
)
from marketplace_api.models.identity.api_keys import SCOPES

_KEY: Mapping[str, Schema] = {
    "api_key_id": IDENTIFIER,
    "name": TEXT,
    "scopes": {"type": "array", "items": {"type": "string", "enum": list(SCOPES)}},
    "created_by": {"type": ["integer", "null"], "minimum": 1, "description": "null for the command line."},
    "date_created": MOMENT,
    "last_used": {"type": ["string", "null"], "format": "date", "description": "By the day, UTC."},
    "expires_at": OPTIONAL_MOMENT,
    "revoked_at": OPTIONAL_MOMENT,
}

SHAPES: Mapping[str, Shape] = {
    "api_key": Shape(_KEY, ("self", "collection")),
    "issued_api_key": Shape(
        {**_KEY, "key": {**TEXT, "description": "To be sent as `Authorization: Bearer`; told only now."}},
        ("self", "collection"),
    ),
    "api_keys": Shape(PAGE, ("self", "first", "up"), frozenset({"totalIsCapped"}), {"api_keys": Embedded("api_key")}),
    "feed": Shape(
        {"next_after": {**COUNT, "description": "What to ask with as `after` the next time."}},
        embedded={"events": Embedded("event")},
    ),
}
