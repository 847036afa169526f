"""Webhooks and their deliveries."""

from __future__ import annotations

from collections.abc import Mapping

from marketplace_api.hal.shapes.base import (
    COUNT,
    IDENTIFIER,
    MOMENT,
    OPTIONAL_MOMENT,
    OPTIONAL_TEXT,
    PAGE,
    TEXT,
    TEXTS,
    Embedded,
    Schema,
    Shape,
)
from marketplace_api.models.outbound.webhooks import DELIVERY_KINDS, DELIVERY_STATES, DISABLED_REASONS, ENDPOINT_STATES

_WEBHOOK: Mapping[str, Schema] = {
    "endpoint_id": IDENTIFIER,
    "url": TEXT,
    "description": TEXT,
    "event_types": TEXTS,
    "status": {"type": "string", "enum": list(ENDPOINT_STATES)},
    "disabled_reason": {"type": ["string", "null"], "enum": [*DISABLED_REASONS, None]},
    "failures": {**COUNT, "description": "Attempts in a row that failed."},
    "failing_since": OPTIONAL_MOMENT,
    "previous_secret_until": {**OPTIONAL_MOMENT, "description": "Until then the secret before signs as well."},
    "date_created": MOMENT,
    "date_updated": MOMENT,
    "secret": {**TEXT, "description": "Signs what is sent; shown only when it was made."},
}
_DELIVERY: Mapping[str, Schema] = {
    "delivery_id": IDENTIFIER,
    "endpoint_id": IDENTIFIER,
    "event_id": IDENTIFIER,
    "type": TEXT,
    "kind": {"type": "string", "enum": list(DELIVERY_KINDS)},
    "status": {"type": "string", "enum": list(DELIVERY_STATES)},
    "attempts": COUNT,
    "response_status": {"type": ["integer", "null"], "description": "The status of the latest answer."},
    "response_body": {**OPTIONAL_TEXT, "description": "How the latest answer begins."},
    "problem": {**OPTIONAL_TEXT, "description": "Why there was no answer."},
    "next_attempt_at": OPTIONAL_MOMENT,
    "date_created": MOMENT,
    "date_finished": OPTIONAL_MOMENT,
}
_LISTED = frozenset({"totalIsCapped"})

SHAPES: Mapping[str, Shape] = {
    "webhook": Shape(_WEBHOOK, ("self", "collection", "mkt:deliveries"), frozenset({"secret"})),
    "webhooks": Shape(PAGE, ("self", "first", "up"), _LISTED, {"webhooks": Embedded("webhook")}),
    "delivery": Shape(_DELIVERY, ("self", "collection", "mkt:webhook", "mkt:event")),
    "deliveries": Shape(PAGE, ("self", "first", "up"), _LISTED, {"deliveries": Embedded("delivery")}),
}
