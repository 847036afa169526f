"""What may come in where files are fetched."""

from __future__ import annotations

from colander import SchemaNode

from marketplace_api.schemas.base import Query
from marketplace_api.schemas.types import FromQuery, Integer, Text


class FetchFile(Query):
    """What signed addresses carry; it cannot be made up."""

    expires = SchemaNode(FromQuery(Integer(0)), missing=None, description="Unix time.")
    signature = SchemaNode(FromQuery(Text(64)), missing=None, description="Taken from a signed address.")
