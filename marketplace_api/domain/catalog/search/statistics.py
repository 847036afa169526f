"""What the counters know about a search before any listing is read: its lexemes, its category's subtree, how many
searchable listings hold each of its terms. One statement, whatever the search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from marketplace_api.database.prepared import Reader
from marketplace_api.domain.catalog.search import geo, text
from marketplace_api.domain.catalog.search.query import SearchQuery
from marketplace_api.domain.catalog.search.sql import prepared
from marketplace_api.domain.catalog.search.terms import FREQUENT

MOST_COMPLETIONS = 50
"""An unfinished word stands for so many of its completions, the most frequent ones."""
_MOST_RARE = 3_000
"""Of completions too rare for bitmaps, no more once so many listings hold some: each of these is a row to visit."""

ALL = "#all"
VERIFIED = "#verified"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about one search. ``counts`` holds only terms that some searchable listing has, ``frequent``
    those that have bitmaps, ``completions`` the lexemes that begin with each prefix, the most frequent first."""

    head: str
    last: str
    prefix: str
    slugs: Sequence[str]
    places: Sequence[str]
    last_place: str
    bands: Sequence[str]
    cells: Sequence[str]
    top: int
    counts: dict[str, int]
    frequent: frozenset[str]
    completions: dict[str, list[str]]

    @property
    def everything(self) -> int:
        return self.counts.get(ALL, 0)

    def sum(self, terms: Sequence[str]) -> int:
        return sum(self.counts.get(term, 0) for term in terms)


_COUNTED = """
counted AS (
    SELECT wanted.term, sum(found.count) AS count, bool_or(found.has_bitmaps) AS has_bitmaps
    FROM wanted CROSS JOIN LATERAL (
        SELECT base.count, base.has_bitmaps FROM search_terms AS base WHERE base.kind = 0 AND base.term = wanted.term
        UNION ALL
        SELECT pending.delta, false FROM search_term_deltas AS pending
        WHERE pending.kind = 0 AND pending.term = wanted.term
    ) AS found GROUP BY wanted.term HAVING sum(found.count) > 0
)
"""

# Most searches are none: the newest of everything. Only its number is asked for then, in a third of the time.
_EVERYTHING = prepared(
    """
        SELECT (SELECT max(listing_id) FROM listings) AS top, CAST(coalesce(
            (SELECT count FROM search_terms WHERE kind = 0 AND term = :everything), 0
        ) + coalesce(
            (SELECT sum(delta) FROM search_term_deltas WHERE kind = 0 AND term = :everything), 0
        ) AS bigint) AS count
        """
)

_SUBTREE = """
WITH RECURSIVE subtree AS (
    SELECT slug FROM categories WHERE slug = CAST(:category AS text)
    UNION SELECT child.slug FROM categories AS child JOIN subtree ON child.parent_slug = subtree.slug
)
"""

_WANTED = """
    SELECT CAST(term AS text) COLLATE "C" AS term FROM unnest(CAST(:marks AS text[])) AS term
    UNION ALL SELECT '#c=' || slug FROM subtree
    UNION ALL SELECT '#p=' || band FROM generate_series(
        marketplace_price_band(coalesce(CAST(:low AS numeric), 0)),
        marketplace_price_band(coalesce(CAST(:high AS numeric), 10000000000))
    ) AS band WHERE CAST(:low AS numeric) IS NOT NULL OR CAST(:high AS numeric) IS NOT NULL
"""

_PLAIN_FACTS = prepared(
    f"""
    {_SUBTREE}, wanted AS ({_WANTED}), {_COUNTED}
    SELECT (SELECT max(listing_id) FROM listings) AS top, ARRAY(SELECT slug FROM subtree) AS slugs,
        ARRAY(SELECT term FROM counted) AS terms, ARRAY(SELECT count FROM counted) AS counts,
        ARRAY(SELECT term FROM counted WHERE has_bitmaps) AS frequent
    """  # noqa: S608  every part is a constant of this file
)

_TEXT_FACTS = prepared(
    f"""
    {_SUBTREE}, parsed AS MATERIALIZED (
        SELECT websearch_to_tsquery('marketplace', CAST(:head AS text)) AS head,
            websearch_to_tsquery('marketplace', CAST(:last AS text)) AS last,
            tsvector_to_array(to_tsvector('marketplace_plain', CAST(:last AS text))) AS prefix,
            tsvector_to_array(to_tsvector('marketplace_plain', CAST(:place AS text))) AS places,
            tsvector_to_array(to_tsvector('marketplace_plain', CAST(:last_place AS text))) AS last_place
    ), wanted AS (
        {_WANTED}
        UNION ALL SELECT unnest(tsvector_to_array(to_tsvector('marketplace', CAST(:words AS text))))
        UNION ALL SELECT '#l=' || place FROM parsed, unnest(parsed.places || parsed.last_place) AS place
    ), {_COUNTED}, prefixes AS (
        SELECT prefix[1] COLLATE "C" AS prefix FROM parsed WHERE cardinality(prefix) = 1 AND numnode(last) > 0
        UNION ALL SELECT '#l=' || last_place[1] FROM parsed WHERE cardinality(last_place) = 1
    ), completed AS (
        SELECT prefixes.prefix, found.term, sum(found.count) AS count, bool_or(found.has_bitmaps) AS has_bitmaps
        FROM prefixes CROSS JOIN LATERAL (
            SELECT base.term, base.count, base.has_bitmaps FROM search_terms AS base
            WHERE base.kind = 0 AND base.term >= prefixes.prefix AND base.term < prefixes.prefix || chr(1114111)
            UNION ALL
            SELECT pending.term, pending.delta, false FROM search_term_deltas AS pending
            WHERE pending.kind = 0 AND pending.term >= prefixes.prefix
            AND pending.term < prefixes.prefix || chr(1114111)
        ) AS found GROUP BY prefixes.prefix, found.term HAVING sum(found.count) > 0
    ), listed AS (
        SELECT prefix, (array_agg(term ORDER BY count DESC, term))[1:{MOST_COMPLETIONS}] AS terms,
            (array_agg(count ORDER BY count DESC, term))[1:{MOST_COMPLETIONS}] AS counts,
            array_agg(term) FILTER (WHERE has_bitmaps) AS frequent
        FROM completed GROUP BY prefix
    )
    SELECT (SELECT max(listing_id) FROM listings) AS top, ARRAY(SELECT slug FROM subtree) AS slugs,
        ARRAY(SELECT term FROM counted) AS terms, ARRAY(SELECT count FROM counted) AS counts,
        ARRAY(SELECT term FROM counted WHERE has_bitmaps) AS frequent,
        head::text AS head, last::text AS last, prefix, places, last_place,
        (SELECT jsonb_object_agg(prefix, jsonb_build_array(terms, counts, frequent)) FROM listed) AS completions
    FROM parsed
    """.replace("::", r"\:\:")  # noqa: S608  every part is a constant of this file
)


def read(db: Reader, query: SearchQuery) -> Facts:
    """The facts about ``query``; ``slugs`` is empty for a category that does not exist."""
    cells = _cells(query)
    if not (cells or query.narrows_by_terms):
        return _everything(db)
    marks = [ALL, VERIFIED, *cells, *(f"#a={name}" for name in query.wanted_amenities)]
    parameters: dict[str, Any] = {
        "category": query.category,
        "marks": marks,
        "low": _within(query.min_price),
        "high": _within(query.max_price),
    }
    if not (query.words or query.place):
        row: Any = _PLAIN_FACTS.first(db, parameters)
        return _facts(row, cells)
    head, last = text.split_last_word(query.words or "")
    place, last_place = text.split_last_word(query.place or "")
    row = _TEXT_FACTS.first(
        db,
        {
            **parameters,
            "words": query.words or "",
            "head": head,
            "last": last,
            "place": place,
            "last_place": last_place,
        },
    )
    return _facts(row, cells, row)


def _everything(db: Reader) -> Facts:
    row: Any = _EVERYTHING.first(db, {"everything": ALL})
    return Facts(
        head="",
        last="",
        prefix="",
        slugs=(),
        places=(),
        last_place="",
        bands=(),
        cells=(),
        top=row.top or 0,
        counts={ALL: row.count} if row.count else {},
        frequent=frozenset(),
        completions={},
    )


def _facts(row: Any, cells: Sequence[str], parsed: Any = None) -> Facts:
    """The facts of ``row``; ``parsed`` is the same row where text was parsed with it."""
    counts = dict(zip(row.terms, map(int, row.counts), strict=True))
    bands = [term for term in counts if term.startswith("#p=")]
    frequent = set(row.frequent)
    completions: dict[str, Any] = (parsed and parsed.completions) or {}
    for terms, numbers, often in completions.values():
        counts.update(zip(terms, numbers, strict=True))
        frequent.update(often or ())
    places, last_place = (parsed.places, parsed.last_place) if parsed else ((), ())
    several = len(last_place) > 1
    return Facts(
        head=parsed.head if parsed else "",
        last=parsed.last if parsed else "",
        prefix=_only(parsed.prefix) if parsed and parsed.last else "",
        slugs=row.slugs,
        places=[*places, *(last_place if several else ())],
        last_place="" if several else _only(last_place),
        bands=bands,
        cells=cells,
        top=row.top or 0,
        counts=counts,
        frequent=frozenset(frequent),
        completions={prefix: _kept(*found[:2]) for prefix, found in completions.items()},
    )


def _kept(terms: Sequence[str], counts: Sequence[int]) -> list[str]:
    """Of ``terms``, the most frequent first, all that are to have bitmaps, and of the rest no more than to visit."""
    visited = accumulate((count if count < FREQUENT else 0 for count in counts), initial=0)
    return [term for term, before in zip(terms, visited, strict=False) if before < _MOST_RARE]


def _only(lexemes: Sequence[str]) -> str:
    return lexemes[0] if len(lexemes) == 1 else ""


def _within(price: Any) -> Any:
    """``price`` within what the column can hold: beyond that the bands would be endless."""
    return None if price is None else min(max(price, 0), 10**10)


def _cells(query: SearchQuery) -> list[str]:
    if query.bbox is not None:
        return geo.cells(geo.boxes_of(query.bbox))
    if query.near is not None and query.radius_km is not None:
        return geo.cells(geo.boxes_around(*query.near, query.radius_km))
    return []
