"""Verifications: one's own, and those that moderators decide about."""

from __future__ import annotations

from collections.abc import Mapping

from marketplace_api.domain.trust.verifications.workflow import NONE
from marketplace_api.hal.shapes.base import (
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
from marketplace_api.models.trust.verifications import DOCUMENT_TYPES, VERIFICATION_STATES

_DOCUMENTS: Schema = {
    "type": "array",
    "items": exactly({"document_type": {"type": "string", "enum": list(DOCUMENT_TYPES)}, "name": TEXT}),
}
_SINCE: Mapping[str, Schema] = {
    "date_decided": OPTIONAL_MOMENT,
    "expires_at": OPTIONAL_MOMENT,
    "documents_purged_at": {**OPTIONAL_MOMENT, "description": "When the document was deleted; its name stays."},
    "documents": _DOCUMENTS,
}

SHAPES: Mapping[str, Shape] = {
    "own_verification": Shape(
        {
            "status": {"type": "string", "enum": [NONE, *VERIFICATION_STATES]},
            "reason": OPTIONAL_TEXT,
            "date_submitted": OPTIONAL_MOMENT,
            **_SINCE,
        },
        ("self", "up"),
    ),
    "verification_receipt": Shape({"message": TEXT, "status": {"const": "pending"}}, ("mkt:verification", "up")),
    "verification": Shape(
        {
            "verification_id": IDENTIFIER,
            "user_id": IDENTIFIER,
            "username": {**OPTIONAL_TEXT, "description": "null for an account that is deactivated or banned."},
            "status": {"type": "string", "enum": list(VERIFICATION_STATES)},
            "reason": OPTIONAL_TEXT,
            "decided_by": {"type": ["integer", "null"], "minimum": 1},
            "date_submitted": MOMENT,
            **_SINCE,
        },
        ("self", "collection"),
    ),
    "verifications": Shape(
        PAGE, ("self", "first"), frozenset({"totalIsCapped"}), {"verifications": Embedded("verification")}
    ),
}
