"""What may come in where files are fetched."""

from __future__ import annotations

import re

from colander import SchemaNode

from marketplace_api.schemas.base import Query
from marketplace_api.schemas.types import FromQuery, Integer, Text


def _as_we_write_it(text: str) -> int:
    """A number without leading zeros: of a signed address there is one spelling. Raises ``ValueError``."""
    if not re.fullmatch(r"[1-9][0-9]{0,18}", text, re.ASCII):
        raise ValueError(text)
    return int(text)


class FetchFile(Query):
    """What signed addresses carry; it cannot be made up."""

    expires = SchemaNode(FromQuery(Integer(0), _as_we_write_it), missing=None, description="Unix time.")
    signature = SchemaNode(FromQuery(Text(64, strip=False)), missing=None, description="Taken from a signed address.")
