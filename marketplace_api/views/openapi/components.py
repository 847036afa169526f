"""The parts of the OpenAPI document that operations refer to: problems, headers, parameters, tags."""

from __future__ import annotations

from typing import Any

from marketplace_api.hal import shapes
from marketplace_api.hal.problems import CODES, PROBLEM

Json = dict[str, Any]

# The first part of a path below /api -> what the operations there are about; `service` is for those beside it.
TAGS = {
    "api": "The entry point and what describes the API.",
    "auth": "Becoming known and ceasing to be.",
    "users": "Accounts and profiles.",
    "listings": "What is on offer.",
    "categories": "How offers are sorted.",
    "search": "Help with searching.",
    "conversations": "Conversations of two.",
    "messages": "Writing to each other.",
    "notifications": "What people are told of.",
    "stream": "What happens, as it happens.",
    "reviews": "What people say of listings and of each other.",
    "reports": "Telling moderators what is wrong.",
    "moderation": "What waits for moderators.",
    "admin": "Looking after accounts.",
    "audit": "Who did what, and when.",
    "events": "The event log as a feed, for programs.",
    "files": "Photos and other files.",
    "service": "For load balancers, monitors and operators.",
}

_TEXT: Json = {"type": "string"}
_COUNT: Json = {"type": "integer", "minimum": 0}

_UNLIMITED = "absent where limits are off, and from what is refused before it is counted (414, 431)."
HEADERS: dict[str, Json] = {
    "ETag": {"description": "Names this state of the representation, for this caller.", "schema": _TEXT},
    "Location": {"description": "The address of what was made or changed.", "schema": _TEXT},
    "Link": {"description": "The page links of `_links` (RFC 8288).", "schema": _TEXT},
    "Retry-After": {"description": "Seconds to wait.", "schema": _COUNT},
    "X-Request-ID": {"description": "Quote it when you report a problem.", "schema": _TEXT},
    "RateLimit-Limit": {"description": f"Requests allowed in the present window; {_UNLIMITED}", "schema": _COUNT},
    "RateLimit-Remaining": {"description": "Requests left in it.", "schema": _COUNT},
    "RateLimit-Reset": {"description": "Seconds until it ends.", "schema": _COUNT},
    "WWW-Authenticate": {"description": "The scheme to use (RFC 6750).", "schema": _TEXT},
    "Idempotent-Replayed": {
        "description": "The stored answer to an earlier request with this key.",
        "schema": {"type": "string", "const": "true"},
    },
    "Preference-Applied": {"description": "The preference that was followed.", "schema": _TEXT},
}
ALWAYS = ("X-Request-ID", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")

_MINIMAL = "`return=minimal` leaves the representation out of the answer."
_REHEARSAL = "`dry-run` answers as if it were done and keeps nothing."

PARAMETERS: dict[str, Json] = {
    "If-Match": {
        "description": "The ETag that was read: the request fails with 412 when the resource has changed since.",
        "schema": _TEXT,
    },
    "If-None-Match": {
        "description": "An ETag that the caller has: the answer is 304 when it still holds.",
        "schema": _TEXT,
    },
    "Idempotency-Key": {
        "description": "Makes a retry safe: the same key and body give the stored answer for 24 hours.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]*[!-~][ -~]*$"},
    },
    "Prefer": {"description": _MINIMAL, "schema": {"type": "string", "examples": ["return=minimal"]}},
    "PreferRehearsal": {
        "name": "Prefer",
        "description": f"{_MINIMAL} {_REHEARSAL}",
        "schema": {"type": "string", "examples": ["return=minimal", "dry-run"]},
    },
}

_FIELD_ERROR: Json = {
    "type": "object",
    "properties": {
        "location": {"type": "string", "enum": ["body", "querystring", "path", "header"]},
        "name": {**_TEXT, "description": "The dotted path of the field."},
        "code": _TEXT,
        "message": _TEXT,
    },
    "required": ["location", "name", "code", "message"],
    "additionalProperties": False,
}

_PROBLEM: Json = {
    "type": "object",
    "description": "Problem details (RFC 9457). Some codes add members of their own.",
    "properties": {
        "type": {"type": "string", "format": "uri-reference", "description": "Leads to the code's description."},
        "title": _TEXT,
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {**_TEXT, "description": "A sentence that a person can act on."},
        "code": {"type": "string", "enum": list(CODES)},
        "request_id": {"type": ["string", "null"]},
        "errors": {"type": "array", "items": {"$ref": "#/components/schemas/FieldError"}},
        "current": {"type": "object", "description": "With 412: the present representation."},
        "reason": {
            "type": ["string", "null"],
            "description": "With `account_suspended` and `account_banned`: why, in the moderator's words.",
        },
        "until": {
            "type": ["string", "null"],
            "format": "date-time",
            "description": "With `account_suspended`: when it ends by itself; null until further notice.",
        },
        "_templates": {
            "type": "object",
            "description": "With 410: how those who may can bring it back.",
            "additionalProperties": {"$ref": "#/components/schemas/Template"},
        },
        "_links": {"type": "object", "additionalProperties": {"$ref": "#/components/schemas/Link"}},
    },
    "required": ["type", "title", "status", "detail", "code", "request_id", "errors"],
}


def components() -> Json:
    """The ``components`` object."""
    return {
        "schemas": {"Problem": _PROBLEM, "FieldError": _FIELD_ERROR, **shapes.components()},
        "headers": HEADERS,
        "parameters": {
            name: {"name": name, "in": "header", "required": False, **rest} for name, rest in PARAMETERS.items()
        },
        "responses": {
            "NotModified": {"description": "The caller has it already.", "headers": headers("ETag")},
            "Minimal": {
                "description": "Done; the representation was left out as preferred.",
                "headers": headers("Location", "Preference-Applied"),
            },
            **{problem_name(status): _problem(status) for status in sorted({c.status for c in CODES.values()})},
        },
        "securitySchemes": {
            "bearer": {
                "type": "http",
                "scheme": "bearer",
                "bearerFormat": "JWT",
                "description": "The `token` that registering, logging in and refreshing give.",
            }
        },
    }


def reference(kind: str, name: str) -> Json:
    """A pointer to the component ``name`` among those of ``kind``."""
    return {"$ref": f"#/components/{kind}/{name}"}


def headers(*names: str) -> Json:
    """The headers that every answer has, and those named."""
    return {name: reference("headers", name) for name in (*names, *ALWAYS)}


def problem_name(status: int) -> str:
    """The name of the response that stands for all problems with ``status``."""
    return f"Problem{status}"


def _problem(status: int) -> Json:
    codes = [entry for entry in CODES.values() if entry.status == status]
    more = {401: ("WWW-Authenticate",), 429: ("Retry-After",), 503: ("Retry-After",)}.get(status, ())
    return {
        "description": "\n".join(f"- `{entry.code}`: {entry.title}. {entry.advice}" for entry in codes),
        "headers": headers(*more),
        "content": {PROBLEM: {"schema": reference("schemas", "Problem")}},
    }
