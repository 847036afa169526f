"""How the feed of events is asked for."""

from __future__ import annotations

from colander import SchemaNode

from marketplace_api.domain.eventlog.event_patterns import PATTERNS
from marketplace_api.schemas.base import Query, names
from marketplace_api.schemas.types import FromQuery, Integer

MOST = 1_000


class ReadFeed(Query):
    """The next events."""

    after = SchemaNode(
        FromQuery(Integer(0)),
        missing=None,
        description="Those behind this id (`next_after`); without it, from the first on.",
    )
    limit = SchemaNode(FromQuery(Integer(1, MOST)), missing=100, description="Events at most.")
    type = names(PATTERNS, "Only of these types, separated by commas; `listing.*` is all of a subject.")
