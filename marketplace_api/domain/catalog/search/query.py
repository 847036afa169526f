"""What may be asked of search, and what makes no sense to ask."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from functools import lru_cache

from marketplace_api.domain.kernel import paging
from marketplace_api.errors import FieldError, Invalid

FACETS = ("category", "amenities", "city", "price", "verified")

_LONGEST_TEXT = 300
_PLACE = "Latitude is -90 to 90, longitude -180 to 180."
_BOX = "Give west,south,east,north in degrees, south below north."


@dataclass(frozen=True, slots=True)
class Order:
    """One way to sort: its key in SQL, the type of the key in Python and in SQL, and the usual direction."""

    key: str
    kind: type
    cast: str
    descending: bool


ORDERS = {
    "price": Order("price", Decimal, "numeric", False),
    "date_created": Order("date_created", datetime, "timestamptz", True),
    "date_updated": Order("date_updated", datetime, "timestamptz", True),
    "title": Order("lower(title)", str, "text", False),
    "rating": Order("rating", int, "integer", True),
    # The farthest from a point is the nearest to its antipode, and only "nearest first" has an index.
    "distance": Order("(position <-> CAST(:order_point AS cube))", float, "float8", False),
    # Relevance goes on by this order after the ranked part.
    "listing_id": Order("listing_id", int, "bigint", True),
}
SORTS = ("relevance", "price", "date_created", "date_updated", "title", "rating", "distance")


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """The filters and the order of a search.

    ``text`` is what web search boxes take (words, "phrases", or, -not); ``category`` a slug that stands for its whole
    subtree; ``location`` words of city, state, zip and country; ``amenities`` must all be there, whatever their case;
    ``near`` is (latitude, longitude), ``radius_km`` the greatest distance from it; ``bbox`` is (west, south, east,
    north) in degrees and may cross the antimeridian. Prices are compared as numbers, whatever the currency.
    ``sort`` defaults to relevance with a text and to ``date_created`` without; relevance is always best first.
    ``descending`` defaults to what people expect of the order. ``facets`` names those of ``FACETS`` to count.
    """

    text: str | None = None
    category: str | None = None
    location: str | None = None
    min_price: Decimal | None = None
    max_price: Decimal | None = None
    amenities: tuple[str, ...] = ()
    verified: bool | None = None
    owner: int | None = None
    near: tuple[float, float] | None = None
    radius_km: float | None = None
    bbox: tuple[float, float, float, float] | None = None
    sort: str | None = None
    descending: bool | None = None
    facets: tuple[str, ...] = ()

    @property
    def words(self) -> str | None:
        """The text, free of what no text column can hold; ``None`` when there is none."""
        return _clean(self.text)

    @property
    def place(self) -> str | None:
        return _clean(self.location)

    @property
    def wanted_amenities(self) -> tuple[str, ...]:
        """The amenities as they are indexed: trimmed, lower case, each once."""
        names = (_clean(name) for name in self.amenities)
        return tuple(dict.fromkeys(name.lower()[:100] for name in names if name))

    @property
    def narrows_by_terms(self) -> bool:
        """Whether any filter is one that the counters know."""
        return bool(
            self.words
            or self.place
            or self.category
            or self.wanted_amenities
            or self.verified is not None
            or self.min_price is not None
            or self.max_price is not None
        )

    @property
    def order(self) -> str:
        sort = self.sort or ("relevance" if self.words else "date_created")
        return "date_created" if sort == "relevance" and not self.words else sort

    @property
    def is_descending(self) -> bool:
        if self.order == "relevance":
            return True
        return ORDERS[self.order].descending if self.descending is None else self.descending

    @property
    def list_hash(self) -> str:
        """Names the list: equal for two queries that give the same rows in the same order."""
        return _list_hash(self)


@lru_cache(maxsize=4096)
def _list_hash(query: SearchQuery) -> str:
    parts = [getattr(query, each.name) for each in fields(query) if each.name not in ("facets", "sort", "descending")]
    return paging.fingerprint(*parts, query.order, query.is_descending)


def _clean(text: str | None) -> str | None:
    if text is None:
        return None
    # Neither NUL nor lone surrogates can reach PostgreSQL.
    sendable = text[:_LONGEST_TEXT].encode("utf-8", "ignore").decode().replace("\x00", " ").strip()
    return sendable or None


def check(query: SearchQuery) -> None:
    """Raise ``Invalid`` with every contradiction in ``query`` at once."""
    problems = [FieldError("querystring", name, code, message) for name, code, message in _contradictions(query)]
    if problems:
        raise Invalid("This search makes no sense as it is.", errors=problems)


def _contradictions(query: SearchQuery) -> list[tuple[str, str, str]]:
    low, high = query.min_price, query.max_price
    near, bbox, radius = query.near, query.bbox, query.radius_km
    is_sort = query.sort is None or query.sort in SORTS
    cases: list[tuple[bool, str, str, str]] = [
        (not is_sort, "sortBy", "unknown_sort", f"Sort by one of {', '.join(SORTS)}."),
        (query.sort == "distance" and near is None, "near", "required", "Sorting by distance needs near=lat,lng."),
        (radius is not None and near is None, "near", "required", "A radius needs near=lat,lng."),
        (radius is not None and not radius > 0, "radius_km", "too_small", "The radius must be above 0."),
        (near is not None and not _is_place(*near), "near", "not_a_place", _PLACE),
        (bbox is not None and not _is_box(*bbox), "bbox", "not_a_box", _BOX),
        (
            low is not None and high is not None and low > high,
            "min_price",
            "above_maximum",
            "The lowest price is above the highest.",
        ),
        (not set(query.facets) <= set(FACETS), "facets", "unknown_facet", f"Count any of {', '.join(FACETS)}."),
    ]
    return [(name, code, message) for wrong, name, code, message in cases if wrong]


def _is_place(latitude: float, longitude: float) -> bool:
    return -90 <= latitude <= 90 and -180 <= longitude <= 180


def _is_box(west: float, south: float, east: float, north: float) -> bool:
    return _is_place(south, west) and _is_place(north, east) and south <= north


def key_kinds(query: SearchQuery) -> tuple[type, ...]:
    """The types of the keys in this list's cursors."""
    if query.order == "relevance":
        return float, int, int, int
    return ORDERS[query.order].kind, int
