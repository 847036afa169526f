"""The OpenAPI 3.1 description of the API, made from the declared operations; nothing in it is written by hand twice."""

from __future__ import annotations

from functools import cache
from typing import Any

from marketplace_api.hal import affordances
from marketplace_api.version import VERSION
from marketplace_api.views.openapi.components import TAGS, components
from marketplace_api.views.openapi.paths import describe

_INTRODUCTION = """\
Start at `/api` and follow links; addresses need not be put together by hand.

Every representation comes as plain JSON, as HAL and as HAL-FORMS: the last also tells, under `_templates`, which
operations this caller may run on this resource now. Errors are problem details (RFC 9457) with a stable `code`; all
codes are at `/api/errors`. Fields of a representation that cannot be changed are ignored when they are sent back.
"""


@cache
def openapi() -> dict[str, Any]:
    """The document, made once, after all views have been imported; it must not be changed."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in affordances.ALL:
        paths.setdefault(operation.path, {})[operation.method.lower()] = describe(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Marketplace API",
            "version": VERSION,
            "description": _INTRODUCTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": meaning} for name, meaning in TAGS.items()],
        "paths": dict(sorted(paths.items())),
        "components": components(),
    }
