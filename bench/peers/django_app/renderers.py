"""JSON by orjson, as those do who care for speed."""

from typing import Any

import orjson
from rest_framework.renderers import BaseRenderer


class OrjsonRenderer(BaseRenderer):
    media_type = "application/json"
    format = "json"
    charset = None

    def render(self, data: Any, *_: Any) -> bytes:
        return orjson.dumps(data)
