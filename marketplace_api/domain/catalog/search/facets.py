"""Counting matches by category, amenity, city, price and badge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from marketplace_api.database.prepared import Prepared, Reader
from marketplace_api.domain.catalog.search import predicates, statements
from marketplace_api.domain.catalog.search.plan import Plan
from marketplace_api.domain.catalog.search.query import SearchQuery
from marketplace_api.domain.catalog.search.sql import prepared

_PRICES = (10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000)
_MOST_VALUES = 50
CAP = 5_001
"""One more than are counted. Each match is counted once for every facet, so the cap is below that of totals."""

_COUNTS = {
    "category": "SELECT category AS value, count(*) AS count FROM hits GROUP BY 1",
    # By their codes, which are the same however an amenity is spelled; some listing of each code tells its name.
    "amenities": f"""
        SELECT named.value, counted.count FROM (
            SELECT code, count(*) AS count, min(listing_id) AS listing_id FROM hits, unnest(amenity_codes) AS code
            GROUP BY 1 ORDER BY 2 DESC FETCH FIRST {_MOST_VALUES} ROWS WITH TIES
        ) AS counted CROSS JOIN LATERAL (
            SELECT lower(btrim(amenity)) AS value FROM listings, unnest(amenities) AS amenity
            WHERE listings.listing_id = counted.listing_id
            AND hashtextextended(lower(btrim(amenity)), 0) = counted.code LIMIT 1
        ) AS named
    """,  # noqa: S608
    "city": "SELECT city, count(*) FROM hits WHERE city <> '' GROUP BY 1",
    "price": f"SELECT width_bucket(price, CAST(ARRAY{list(_PRICES)} AS numeric[]))::text, count(*) "  # noqa: S608
    "FROM hits GROUP BY 1",
    "verified": "SELECT is_verified_listing::text, count(*) FROM hits GROUP BY 1",
    "total": "SELECT NULL, count(*) FROM hits",
}


@dataclass(frozen=True, slots=True)
class Counted:
    """The wanted facets, and the number of matches; ``None`` when that is too high to be known from them."""

    values: Mapping[str, Any]
    total: int | None


def count(db: Reader, query: SearchQuery, plan: Plan) -> Counted:
    """The facets of ``query``: each value with its count, the most frequent first (prices: the lowest first).

    At most the first 5,001 matches are counted; ``capped`` tells whether there are more.
    """
    statement = _statement(predicates.collected(query, plan, at_once=predicates.CAP / 2), query.facets)
    found: dict[str, list[dict[str, Any]]] = {facet: [] for facet in query.facets}
    total = 0
    values = {**predicates.values(query, plan), "cap": CAP, "blocks": plan.blocks()}
    for facet, value, number in statement.all(db, values):
        if facet == "total":
            total = number
        else:
            found[facet].append({"value": _value(facet, value), "count": number})
    if "price" in found:
        found["price"].sort(key=lambda entry: float(entry["value"]["from"]))
    return Counted({**found, "capped": total >= CAP}, total if total < CAP else None)


def nothing(query: SearchQuery) -> dict[str, Any]:
    """The facets of a search without any match."""
    return {**{facet: [] for facet in query.facets}, "capped": False} if query.facets else {}


@lru_cache(maxsize=256)
def _statement(names: tuple[str, ...], facets: tuple[str, ...]) -> Prepared:
    columns = "listing_id, category, amenity_codes, city, price, is_verified_listing"
    counts = " UNION ALL ".join(
        f"(SELECT '{facet}', counted.* FROM ({_COUNTS[facet]}) AS counted ORDER BY 3 DESC, 2 LIMIT {_MOST_VALUES})"  # noqa: S608
        for facet in (*dict.fromkeys(facets), "total")
    )
    hits = statements.hits(names, columns)
    return prepared(f"WITH hits AS MATERIALIZED ({hits}) {counts}".replace("::", r"\:\:"))


def _value(facet: str, value: str) -> Any:
    if facet == "price":
        bucket = int(value)
        above = _PRICES[bucket] if bucket < len(_PRICES) else None
        return {"from": _PRICES[bucket - 1] if bucket else 0, "to": above}
    return value == "true" if facet == "verified" else value
