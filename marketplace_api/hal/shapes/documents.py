"""Schemas of what is no hypermedia: for machines beside the API, and for taking one's data away."""

from __future__ import annotations

from collections.abc import Mapping

from marketplace_api.hal.shapes.base import FLAG, TEXT, Schema, exactly

_ROWS: Schema = {"type": "array", "items": {"type": "object"}}

# What is no hypermedia: for machines beside the API, and for taking one's data away.
DOCUMENTS: Mapping[str, Schema] = {
    "health": exactly({"status": {"const": "alive"}}),
    "readiness": exactly({
        "status": {"type": "string", "enum": ["ready", "unavailable"]},
        "checks": {
            "type": "object", "required": ["database", "migrations", "storage", "redis"],
            "additionalProperties": TEXT,
        },
    }),
    "version": exactly({"version": TEXT}),
    "metrics": {"type": "string", "description": "Prometheus' text format."},
    "file": {"type": "string", "format": "binary"},
    "export": {
        "type": "object",
        "properties": {
            "profile": {"type": "object"}, "sessions": _ROWS, "one_time_tokens": _ROWS, "listings": _ROWS,
            "photos": _ROWS, "bookmarks": _ROWS, "reviews": _ROWS, "conversations": _ROWS, "messages_sent": _ROWS,
            "messages_received": _ROWS, "blocks": _ROWS, "reports": _ROWS, "events": _ROWS, "complete": FLAG,
        },
        "required": [
            "profile", "sessions", "one_time_tokens", "listings", "photos", "bookmarks", "reviews", "conversations",
            "messages_sent", "messages_received", "blocks", "reports", "events", "complete",
        ],
    },
    "openapi": {
        "type": "object", "required": ["openapi", "info", "paths", "components"],
        "properties": {"openapi": TEXT, "info": {"type": "object"}, "paths": {"type": "object"}},
    },
}  # fmt: skip
