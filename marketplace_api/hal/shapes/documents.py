"""Schemas of what is no hypermedia: for machines beside the API, and for taking one's data away."""

from __future__ import annotations

from collections.abc import Mapping

from marketplace_api.hal.shapes.base import COUNT, FLAG, TEXT, Schema, exactly

_ROWS: Schema = {"type": "array", "items": {"type": "object"}}

_QUEUE = exactly(
    {**dict.fromkeys(("todo", "doing", "failed", "stalled"), COUNT), "oldestSeconds": {"type": "number", "minimum": 0}}
)

# What an export holds beside the profile.
_EXPORTED = (
    "sessions",
    "one_time_tokens",
    "listings",
    "photos",
    "videos",
    "bookmarks",
    "reviews",
    "conversations",
    "messages_sent",
    "messages_received",
    "blocks",
    "reports",
    "verifications",
    "notifications",
    "deliveries",
    "notification_choices",
    "notification_preferences",
    "events",
)

DOCUMENTS: Mapping[str, Schema] = {
    "health": exactly({"status": {"const": "alive"}}),
    "readiness": exactly(
        {
            "status": {"type": "string", "enum": ["ready", "degraded", "unavailable"]},
            "degraded": {
                "type": "array",
                "items": TEXT,
                "description": "Names of checks that are not well and can be done without for a while.",
            },
            "checks": {
                "type": "object",
                "required": ["database", "migrations", "storage", "redis", "disk", "mail", "replica"],
                "additionalProperties": TEXT,
            },
            "installation": {
                "type": ["string", "null"],
                "description": "Which installation answers; null if not known.",
            },
            "jobs": {
                "type": ["object", "null"],
                "required": ["workers", "queues"],
                "properties": {"workers": COUNT, "queues": {"type": "object", "additionalProperties": _QUEUE}},
            },
        }
    ),
    "version": exactly({"version": TEXT}),
    "metrics": {"type": "string", "description": "Prometheus' text format."},
    "file": {"type": "string", "format": "binary"},
    "document": {"type": "string", "format": "binary"},
    "export": {
        "type": "object",
        "properties": {"profile": {"type": "object"}, **dict.fromkeys(_EXPORTED, _ROWS), "complete": FLAG},
        "required": ["profile", *_EXPORTED, "complete"],
    },
    "openapi": {
        "type": "object",
        "required": ["openapi", "info", "paths", "components"],
        "properties": {"openapi": TEXT, "info": {"type": "object"}, "paths": {"type": "object"}},
    },
}
