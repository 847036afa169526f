"""Listings, their photos, who keeps them, and what helps to find them."""

from __future__ import annotations

from collections.abc import Mapping

from marketplace_api.hal.shapes.base import (
    AVERAGE,
    COUNT,
    FLAG,
    IDENTIFIER,
    MOMENT,
    OPTIONAL_TEXT,
    PAGE,
    TEXT,
    TEXTS,
    Embedded,
    Schema,
    Shape,
    closed,
    exactly,
)

_LOCATION = closed(
    {
        "city": OPTIONAL_TEXT,
        "state": OPTIONAL_TEXT,
        "zip": OPTIONAL_TEXT,
        "country": OPTIONAL_TEXT,
        "latitude": {"type": ["number", "null"], "minimum": -90, "maximum": 90},
        "longitude": {"type": ["number", "null"], "minimum": -180, "maximum": 180},
        "is_approximate": {**FLAG, "description": "The position is rounded and the address withheld."},
        "address": OPTIONAL_TEXT,
    },
    ["city", "state", "zip", "country", "latitude", "longitude", "is_approximate"],
)

_LISTING: Mapping[str, Schema] = {
    "listing_id": IDENTIFIER,
    "user_id": IDENTIFIER,
    "title": TEXT,
    "description": TEXT,
    "category": TEXT,
    "price": {"type": "number", "minimum": 0},
    "currency": {"type": "string", "pattern": "^[A-Z]{3}$"},
    "location": _LOCATION,
    "photos_urls": TEXTS,
    "status": TEXT,
    "date_created": MOMENT,
    "date_updated": MOMENT,
    "is_verified_listing": FLAG,
    "amenities": TEXTS,
    "rating_average": AVERAGE,
    "rating_count": COUNT,
    "status_reason": {**OPTIONAL_TEXT, "description": "For its owner and moderators."},
    "distance_km": {"type": "number", "minimum": 0, "description": "From the point of `near`."},
    "bookmarked": {**FLAG, "description": "By the caller; only known callers are told."},
    "bookmark_count": {
        **COUNT,
        "maximum": 10_000,
        "description": "How many keep it, for its owner and moderators; counted up to the maximum.",
    },
}
_LISTING_SOMETIMES = frozenset({"status_reason", "distance_km", "bookmarked", "bookmark_count"})

SHAPES: Mapping[str, Shape] = {
    "listing": Shape(
        _LISTING,
        ("self", "mkt:owner"),
        _LISTING_SOMETIMES,
        {
            "owner": Embedded("user", many=False, always=False),
            "reviews": Embedded("review", always=False),
            "photos": Embedded("photo", always=False),
        },
        key="listing_id",
    ),
    "photo": Shape(
        {
            "photo_id": IDENTIFIER,
            "alt_text": TEXT,
            "width": IDENTIFIER,
            "height": IDENTIFIER,
            "urls": {
                **exactly(dict.fromkeys(("thumb", "card", "full"), TEXT)),
                "description": "WebP of at most 160, 480 and 1600 pixels a side; they never change.",
            },
        },
        ("self", "collection"),
    ),
    "video": Shape(
        {
            "listing_id": IDENTIFIER,
            "duration_seconds": {"type": "number", "exclusiveMinimum": 0},
            "width": IDENTIFIER,
            "height": IDENTIFIER,
            "content_type": {"type": "string", "enum": ["video/mp4", "video/webm"]},
            "url": TEXT,
            "poster_url": TEXT,
        },
        ("self", "up"),
    ),
    "photos": Shape({}, ("self", "up"), embedded={"photos": Embedded("photo")}),
    "listings": Shape(
        {**PAGE, "facets": {"type": "object", "description": "Counts of the matches, by facet."}},
        ("self", "first"),
        frozenset({"totalIsCapped", "facets"}),
        {"listings": Embedded("listing")},
    ),
    "bookmark": Shape(
        {**_LISTING, "bookmark_id": IDENTIFIER, "date_bookmarked": MOMENT, "is_available": FLAG},
        ("self", "mkt:bookmark"),
        frozenset({*_LISTING, "user_id"}) - {"listing_id", "status"},
        key="listing_id",
    ),
    "bookmarks": Shape(PAGE, ("self", "first"), frozenset({"totalIsCapped"}), {"listings": Embedded("bookmark")}),
    "bookmark_made": Shape({"bookmark_id": IDENTIFIER, "user_id": IDENTIFIER, "listing_id": IDENTIFIER}),
    "category": Shape(
        {"slug": TEXT, "name": TEXT, "count": COUNT, "total_count": COUNT},
        ("self", "mkt:listings"),
        embedded={"children": Embedded("category")},
    ),
    "categories": Shape({}, embedded={"categories": Embedded("category")}),
    "suggestions": Shape(
        {
            "suggestions": {
                "type": "array",
                "items": exactly(
                    {
                        "text": TEXT,
                        "count": COUNT,
                        "kind": {"type": "string", "enum": ["listing", "category", "location"]},
                    }
                ),
            }
        }
    ),
}
