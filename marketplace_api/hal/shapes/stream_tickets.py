"""Tickets for streams."""

from __future__ import annotations

from collections.abc import Mapping

from marketplace_api.hal.shapes.base import COUNT, TEXT, Shape

SHAPES: Mapping[str, Shape] = {
    "stream_ticket": Shape({"ticket": TEXT, "expires_in": {**COUNT, "description": "Seconds."}}, ("mkt:stream", "up"))
}
