"""JSON Schemas (2020-12) of what goes out, each under the ``result`` that operations name.

A :class:`Shape` says what a representation holds; its three serialisations follow from it, as they do for the
representation itself. Documents that have only one form stand in :data:`DOCUMENTS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from marketplace_api.hal.problems import CODES
from marketplace_api.hal.representation import HAL, HAL_FORMS, JSON

Schema = dict[str, Any]

_VARIANTS = {JSON: "", HAL: ".hal", HAL_FORMS: ".forms"}

TEXT: Schema = {"type": "string"}
TEXTS: Schema = {"type": "array", "items": TEXT}
OPTIONAL_TEXT: Schema = {"type": ["string", "null"]}
FLAG: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 0}
IDENTIFIER: Schema = {"type": "integer", "minimum": 1}
MOMENT: Schema = {"type": "string", "format": "date-time"}
OPTIONAL_MOMENT: Schema = {"type": ["string", "null"], "format": "date-time"}
AVERAGE: Schema = {"type": ["number", "null"], "minimum": 1, "maximum": 5}


@dataclass(frozen=True, slots=True)
class Shape:
    """What a kind of representation holds.

    ``sometimes`` names the ``state`` fields that only some callers or requests see. ``links`` are relations
    that are always there. ``embedded`` tells what is inside, by name. ``key`` is the field that stays when
    ``fields`` asks for few; without it ``fields`` leaves out nothing of the shape itself.
    """

    state: Mapping[str, Schema]
    links: tuple[str, ...] = ("self",)
    sometimes: frozenset[str] = frozenset()
    embedded: Mapping[str, Embedded] = field(default_factory=dict)
    key: str | None = None

    def schema(self, media: str, *, sparse: bool = False) -> Schema:
        """How it looks in ``media``; ``sparse`` allows every field but the key to be left out."""
        inside = {name: part.schema(media, sparse=sparse) for name, part in self.embedded.items()}
        needed = [name for name, part in self.embedded.items() if part.always]
        properties: Schema = {**self.state, "_links": _links(self.links)}
        required = [*self._always(sparse=sparse), "_links"]
        if media == JSON:
            return _closed(properties | inside, required + needed)
        if inside:
            properties["_embedded"] = _closed(inside, needed)
            required += ["_embedded"] if needed else []
        if media == HAL_FORMS:
            properties["_templates"] = {"type": "object", "additionalProperties": _ref("Template")}
            required.append("_templates")
        return _closed(properties, required)

    def _always(self, *, sparse: bool) -> list[str]:
        if sparse and self.key is not None:
            return [self.key]
        return [name for name in self.state if name not in self.sometimes]


@dataclass(frozen=True, slots=True)
class Embedded:
    """A representation of the shape called ``shape`` inside another, or a list of them."""

    shape: str
    many: bool = True
    always: bool = True

    def schema(self, media: str, *, sparse: bool) -> Schema:
        # Only what a list is about can be asked for in part; related resources come whole.
        item = _ref(component_name(self.shape, media, sparse=sparse and self.many))
        return {"type": "array", "items": item} if self.many else item


def component_name(shape: str, media: str, *, sparse: bool = False) -> str:
    """The name under ``components/schemas`` of a shape in ``media``."""
    part = ".part" if sparse and is_sparse(shape) else ""
    return f"{shape}{part}{_VARIANTS[media]}"


def is_sparse(shape: str) -> bool:
    """Whether ``fields`` can leave out parts of it, or of the items that it lists."""
    own = SHAPES[shape]
    return own.key is not None or any(part.many and SHAPES[part.shape].key for part in own.embedded.values())


def components() -> dict[str, Schema]:
    """Every schema of this file by component name."""
    found: Schema = {"Link": LINK, "Template": TEMPLATE, "TemplateProperty": TEMPLATE_PROPERTY}
    for name, shape in SHAPES.items():
        for media in _VARIANTS:
            found[component_name(name, media)] = shape.schema(media)
            if is_sparse(name):
                found[component_name(name, media, sparse=True)] = shape.schema(media, sparse=True)
    return found | dict(DOCUMENTS)


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _closed(properties: Mapping[str, Schema], required: list[str]) -> Schema:
    """An object of exactly these properties."""
    schema: Schema = {"type": "object", "properties": dict(properties), "additionalProperties": False}
    return {**schema, "required": required} if required else schema


def _all(properties: Mapping[str, Schema]) -> Schema:
    return _closed(properties, list(properties))


def _links(required: tuple[str, ...]) -> Schema:
    link = {"anyOf": [_ref("Link"), {"type": "array", "items": _ref("Link")}]}
    return {"type": "object", "required": list(required), "additionalProperties": link}


LINK = _closed({"href": TEXT, "title": TEXT, "templated": FLAG, "type": TEXT, "name": TEXT}, ["href"])
TEMPLATE_PROPERTY = {
    "type": "object",
    "description": "A field of the form (HAL-FORMS); `properties` describe an object's own fields.",
    "properties": {
        "name": TEXT, "prompt": TEXT, "required": FLAG, "type": TEXT,
        "properties": {"type": "array", "items": _ref("TemplateProperty")},
    },
    "required": ["name", "prompt", "required"],
}  # fmt: skip
TEMPLATE = _all(
    {
        "title": TEXT,
        "method": {"type": "string", "enum": ["POST", "PUT", "PATCH", "DELETE"]},
        "target": TEXT,
        "contentType": TEXT,
        "properties": {"type": "array", "items": _ref("TemplateProperty")},
    }
)

_LOCATION = _closed(
    {
        "city": OPTIONAL_TEXT, "state": OPTIONAL_TEXT, "zip": OPTIONAL_TEXT, "country": OPTIONAL_TEXT,
        "latitude": {"type": ["number", "null"], "minimum": -90, "maximum": 90},
        "longitude": {"type": ["number", "null"], "minimum": -180, "maximum": 180},
        "is_approximate": {**FLAG, "description": "The position is rounded and the address withheld."},
        "address": OPTIONAL_TEXT,
    },
    ["city", "state", "zip", "country", "latitude", "longitude", "is_approximate"],
)  # fmt: skip

_PUBLIC_USER: Mapping[str, Schema] = {
    "user_id": IDENTIFIER, "username": TEXT, "profile_picture_url": OPTIONAL_TEXT, "bio": OPTIONAL_TEXT,
    "date_joined": MOMENT, "is_verified": FLAG, "rating_average": AVERAGE, "rating_count": COUNT,
}  # fmt: skip

_PAGE: Mapping[str, Schema] = {
    "totalPages": COUNT,
    "currentPage": IDENTIFIER,
    "totalItems": {**COUNT, "maximum": 10_000},
    "totalIsCapped": {"const": True, "description": "There are more matches than `totalItems` says."},
}

_LISTING: Mapping[str, Schema] = {
    "listing_id": IDENTIFIER, "user_id": IDENTIFIER, "title": TEXT, "description": TEXT,
    "category": TEXT, "price": {"type": "number", "minimum": 0},
    "currency": {"type": "string", "pattern": "^[A-Z]{3}$"}, "location": _LOCATION,
    "photos_urls": TEXTS, "status": TEXT, "date_created": MOMENT, "date_updated": MOMENT,
    "is_verified_listing": FLAG, "amenities": TEXTS, "rating_average": AVERAGE, "rating_count": COUNT,
    "status_reason": {**OPTIONAL_TEXT, "description": "For its owner and moderators."},
    "distance_km": {"type": "number", "minimum": 0, "description": "From the point of `near`."},
    "bookmarked": {**FLAG, "description": "By the caller; only known callers are told."},
    "bookmark_count": {
        **COUNT, "maximum": 10_000,
        "description": "How many keep it, for its owner and moderators; counted up to the maximum.",
    },
}  # fmt: skip
_LISTING_SOMETIMES = frozenset({"status_reason", "distance_km", "bookmarked", "bookmark_count"})

_REVIEW: Mapping[str, Schema] = {
    "review_id": IDENTIFIER, "listing_id": {"type": ["integer", "null"]}, "reviewee_id": {"type": ["integer", "null"]},
    "reviewer_id": IDENTIFIER,
    "reviewer_username": {**OPTIONAL_TEXT, "description": "null once that account is gone."},
    "rating": {"type": "integer", "minimum": 1, "maximum": 5}, "comment": TEXT,
    "date_posted": MOMENT, "date_updated": MOMENT,
    "reply": OPTIONAL_TEXT, "date_replied": OPTIONAL_MOMENT,
    "status": {"type": "string", "enum": ["published", "deleted"]},
    "is_moderated": {**FLAG, "description": "A moderator changed or deleted it."},
    "moderation_reason": {**OPTIONAL_TEXT, "description": "For those concerned and moderators."},
}  # fmt: skip
_STARS = ("1", "2", "3", "4", "5")

_MESSAGE: Mapping[str, Schema] = {
    "message_id": IDENTIFIER, "conversation_id": IDENTIFIER, "sender_id": IDENTIFIER, "receiver_id": IDENTIFIER,
    "listing_id": {"type": ["integer", "null"]}, "content": TEXT, "timestamp_sent": MOMENT,
    "is_read": {**FLAG, "description": "By its receiver."},
}  # fmt: skip
_CONVERSATION: Mapping[str, Schema] = {
    "conversation_id": IDENTIFIER, "participant1_id": IDENTIFIER, "participant2_id": IDENTIFIER,
    "last_message_id": IDENTIFIER, "last_message_preview": {**TEXT, "maxLength": 140}, "unreadCount": COUNT,
    "archived": {**FLAG, "description": "By the caller."}, "is_blocked": {**FLAG, "description": "By the caller."},
    "timestamp_created": MOMENT, "timestamp_updated": MOMENT,
}  # fmt: skip

SHAPES: Mapping[str, Shape] = {
    "listing": Shape(
        _LISTING,
        ("self", "mkt:owner"), _LISTING_SOMETIMES,
        {
            "owner": Embedded("user", many=False, always=False), "reviews": Embedded("review", always=False),
            "photos": Embedded("photo", always=False),
        },
        key="listing_id",
    ),
    "photo": Shape(
        {
            "photo_id": IDENTIFIER, "alt_text": TEXT, "width": IDENTIFIER, "height": IDENTIFIER,
            "urls": {
                **_all(dict.fromkeys(("thumb", "card", "full"), TEXT)),
                "description": "WebP of at most 160, 480 and 1600 pixels a side; they never change.",
            },
        },
        ("self", "collection"),
    ),
    "photos": Shape({}, ("self", "up"), embedded={"photos": Embedded("photo")}),
    "listings": Shape(
        {**_PAGE, "facets": {"type": "object", "description": "Counts of the matches, by facet."}},
        ("self", "first"), frozenset({"totalIsCapped", "facets"}), {"listings": Embedded("listing")},
    ),
    "bookmark": Shape(
        {**_LISTING, "bookmark_id": IDENTIFIER, "date_bookmarked": MOMENT, "is_available": FLAG},
        ("self", "mkt:bookmark"), frozenset({*_LISTING, "user_id"}) - {"listing_id", "status"}, key="listing_id",
    ),
    "bookmarks": Shape(_PAGE, ("self", "first"), frozenset({"totalIsCapped"}), {"listings": Embedded("bookmark")}),
    "bookmark_made": Shape({"bookmark_id": IDENTIFIER, "user_id": IDENTIFIER, "listing_id": IDENTIFIER}),
    "review": Shape(
        _REVIEW, ("self",), frozenset({"moderation_reason"}), {"reviewer": Embedded("user", many=False, always=False)},
        key="review_id",
    ),
    "reviews": Shape(
        {
            **_PAGE, "rating_average": AVERAGE, "rating_count": COUNT,
            "histogram": {**_all(dict.fromkeys(_STARS, COUNT)), "description": "How many of each number of stars."},
        },
        ("self", "first", "up"), frozenset({"totalIsCapped"}), {"reviews": Embedded("review")},
    ),
    "direct_message": Shape(_MESSAGE, ("self", "mkt:conversation"), key="message_id"),
    "direct_messages": Shape(
        _PAGE, ("self", "first", "up"), frozenset({"totalIsCapped"}), {"messages": Embedded("direct_message")}
    ),
    "participant": Shape(
        {
            "user_id": IDENTIFIER, "username": {**OPTIONAL_TEXT, "description": "null once that account is gone."},
            "profile_picture_url": OPTIONAL_TEXT, "is_available": FLAG,
        },
        (),
    ),
    "conversation": Shape(
        _CONVERSATION, ("self", "collection", "mkt:messages"),
        embedded={"other_participant": Embedded("participant", many=False)}, key="conversation_id",
    ),
    "conversations": Shape(
        {**_PAGE, "unreadCount": {**COUNT, "description": "In all conversations, archived ones too."}},
        ("self", "first"), frozenset({"totalIsCapped"}), {"conversations": Embedded("conversation")},
    ),
    "block": Shape({"user_id": IDENTIFIER, "username": OPTIONAL_TEXT, "date_blocked": MOMENT}, ("self", "collection")),
    "blocks": Shape(_PAGE, ("self", "first"), frozenset({"totalIsCapped"}), {"blocks": Embedded("block")}),
    "user": Shape(_PUBLIC_USER, key="user_id"),
    "me": Shape(
        {
            **_PUBLIC_USER, "email": TEXT, "pending_email": OPTIONAL_TEXT, "is_email_confirmed": FLAG,
            "last_login": OPTIONAL_MOMENT, "roles": TEXTS,
            "contact_information": {"type": "object", "additionalProperties": TEXT},
            "state": {"type": "string", "enum": ["active", "suspended"]},
        },
        ("self", "mkt:profile"), key="user_id",
    ),
    "token_pair": Shape(
        {
            "user_id": IDENTIFIER, "username": TEXT, "email": TEXT, "token": TEXT, "refresh_token": TEXT,
            "token_type": TEXT, "expires_in": {**IDENTIFIER, "description": "Seconds."},
        }
    ),
    "session": Shape(
        {
            "session_id": IDENTIFIER, "device": TEXT, "address": TEXT, "date_created": MOMENT,
            "last_used": MOMENT, "expires_at": MOMENT, "current": FLAG,
        }
    ),
    "sessions": Shape(
        _PAGE, ("self", "first"), frozenset({"totalIsCapped"}), {"sessions": Embedded("session")}
    ),
    "message": Shape({"message": TEXT, "erased_at": MOMENT}, ("up",), frozenset({"erased_at"})),
    "form": Shape({"title": TEXT, "method": TEXT}),
    "error": Shape(
        {
            "code": {"type": "string", "enum": list(CODES)}, "status": {"type": "integer"}, "title": TEXT,
            "advice": TEXT,
        }
    ),
    "errors": Shape({}, embedded={"errors": Embedded("error")}),
    "relation": Shape({"rel": TEXT, "meaning": TEXT}),
    "category": Shape(
        {"slug": TEXT, "name": TEXT, "count": COUNT, "total_count": COUNT},
        ("self", "mkt:listings"), embedded={"children": Embedded("category")},
    ),
    "categories": Shape({}, embedded={"categories": Embedded("category")}),
    "suggestions": Shape(
        {
            "suggestions": {
                "type": "array",
                "items": _all({
                    "text": TEXT, "count": COUNT,
                    "kind": {"type": "string", "enum": ["listing", "category", "location"]},
                }),
            }
        }
    ),
    "entry": Shape(
        {
            "name": TEXT, "version": TEXT,
            "caller": _all({
                "user_id": {"type": ["integer", "null"]}, "username": OPTIONAL_TEXT, "roles": TEXTS,
                "state": {"type": "string", "enum": ["anonymous", "active", "suspended"]},
            }),
        },
        ("self", "search", "mkt:listings"),
    ),
}  # fmt: skip

_ROWS: Schema = {"type": "array", "items": {"type": "object"}}

# What is no hypermedia: for machines beside the API, and for taking one's data away.
DOCUMENTS: Mapping[str, Schema] = {
    "health": _all({"status": {"const": "alive"}}),
    "readiness": _all({
        "status": {"type": "string", "enum": ["ready", "unavailable"]},
        "checks": {
            "type": "object", "required": ["database", "migrations", "storage", "redis"],
            "additionalProperties": TEXT,
        },
    }),
    "version": _all({"version": TEXT}),
    "metrics": {"type": "string", "description": "Prometheus' text format."},
    "file": {"type": "string", "format": "binary"},
    "export": {
        "type": "object",
        "properties": {
            "profile": {"type": "object"}, "sessions": _ROWS, "one_time_tokens": _ROWS, "listings": _ROWS,
            "photos": _ROWS, "bookmarks": _ROWS, "reviews": _ROWS, "conversations": _ROWS, "messages_sent": _ROWS,
            "messages_received": _ROWS, "blocks": _ROWS, "events": _ROWS, "complete": FLAG,
        },
        "required": [
            "profile", "sessions", "one_time_tokens", "listings", "photos", "bookmarks", "reviews", "conversations",
            "messages_sent", "messages_received", "blocks", "events", "complete",
        ],
    },
    "openapi": {
        "type": "object", "required": ["openapi", "info", "paths", "components"],
        "properties": {"openapi": TEXT, "info": {"type": "object"}, "paths": {"type": "object"}},
    },
}  # fmt: skip
