"""The entry point, the catalogues and the answers that only say what was done."""

from __future__ import annotations

from collections.abc import Mapping

from marketplace_api.hal.problems import CODES
from marketplace_api.hal.shapes.base import MOMENT, OPTIONAL_TEXT, TEXT, TEXTS, Embedded, Shape, exactly

SHAPES: Mapping[str, Shape] = {
    "message": Shape({"message": TEXT, "erased_at": MOMENT}, ("up",), frozenset({"erased_at"})),
    "form": Shape({"title": TEXT, "method": TEXT}),
    "error": Shape(
        {"code": {"type": "string", "enum": list(CODES)}, "status": {"type": "integer"}, "title": TEXT, "advice": TEXT}
    ),
    "errors": Shape({}, embedded={"errors": Embedded("error")}),
    "relation": Shape({"rel": TEXT, "meaning": TEXT}),
    "entry": Shape(
        {
            "name": TEXT,
            "version": TEXT,
            "caller": exactly(
                {
                    "user_id": {"type": ["integer", "null"]},
                    "username": OPTIONAL_TEXT,
                    "roles": TEXTS,
                    "state": {"type": "string", "enum": ["anonymous", "active", "suspended"]},
                }
            ),
        },
        ("self", "search", "mkt:listings"),
    ),
}
