"""The SQL of search. Statements are few and each is built once: what varies between two searches of the same shape
travels in parameters, so both SQLAlchemy's and PostgreSQL's statement caches hit.

Two ways to find listings: ``walk`` follows an index in the wanted order and drops what does not match; ``collect``
gathers up to a bounded number of matches, counts them and sorts them. Which is right is decided in ``executor``.
"""

from __future__ import annotations

from functools import lru_cache

from marketplace_api.database.prepared import Prepared
from marketplace_api.domain.catalog.listings import queries
from marketplace_api.domain.catalog.search.bitmap_sql import (
    MATCHED,
    MATCHED_BIT,
    MOST_PENDING,
    TOTAL_MATCHED,
    newest_matched,
    others,
)
from marketplace_api.domain.catalog.search.conditions import conditions, walked_conditions
from marketplace_api.domain.catalog.search.geo import EARTH_RADIUS_KM
from marketplace_api.domain.catalog.search.query import ORDERS
from marketplace_api.domain.catalog.search.sql import prepared

RANKED = 300
"""Relevance is computed for so many of the newest matches; older ones follow by age."""

_DIAMETER = 2 * EARTH_RADIUS_KM
_COLUMNS = ", ".join(f"listing.{column.name}" for column in queries.COLUMNS)
_DISTANCE = f", {_DIAMETER} * asin(least(1, (listing.position <-> CAST(:point AS cube)) / {_DIAMETER})) AS distance_km"


def after(order: str, descending: bool) -> str:
    """The condition for rows beyond the cursor."""
    return f"(sort_key, listing_id) {'<' if descending else '>'} (CAST(:key AS {ORDERS[order].cast}), :id)"


def sorted_by(descending: bool) -> str:
    direction = "DESC" if descending else "ASC"
    return f"ORDER BY sort_key {direction}, listing_id {direction}"


@lru_cache(maxsize=1024)
def walk(names: tuple[str, ...], order: str, descending: bool, keyed: bool, near: bool) -> Prepared:
    """``:count`` listings after ``:offset`` or the cursor's keys, read in the order of an index.

    The inner select names only ids and keys, so that an index alone can answer it where it holds all that is asked.
    """
    key = ORDERS[order].key
    beyond = after(order, descending).replace("sort_key", key, 1) if keyed else "true"
    direction = "DESC" if descending else "ASC"
    return prepared(
        f"""
        WITH page AS MATERIALIZED (
            SELECT listing_id, {key} AS sort_key FROM listings WHERE {walked_conditions(names)} AND {beyond}
            ORDER BY {key} {direction}, listing_id {direction} LIMIT :count OFFSET :offset
        )
        SELECT {_COLUMNS}, page.sort_key{_DISTANCE if near else ""}
        FROM page JOIN listings AS listing USING (listing_id)
        ORDER BY page.sort_key {direction}, page.listing_id {direction}
        """  # noqa: S608  made of constants only
    )


def hits(names: tuple[str, ...], columns: str) -> str:
    """At most ``:cap`` matches with ``columns``; by blocks of ids, newest first, where ``names`` has ``block``; by
    strips of the map where it has ``strip``."""
    if "strip" in names:
        return f"""
            SELECT found.*, 0 AS ordinal
            FROM unnest(
                CAST(:firsts AS integer[]), CAST(:lasts AS integer[]), CAST(:lows AS integer[]), CAST(:highs AS integer[])
            ) AS strip (first, last, low, high)
            CROSS JOIN LATERAL (SELECT {columns} FROM listings WHERE {conditions(names)} OFFSET 0) AS found
            LIMIT :cap
        """  # noqa: S608
    if "block" not in names:
        return f"SELECT {columns}, 0 AS ordinal FROM listings WHERE {conditions(names)} LIMIT :cap"  # noqa: S608
    return f"""
        SELECT found.*, block.ordinal
        FROM unnest(CAST(:blocks AS text[])) WITH ORDINALITY AS block (mark, ordinal)
        CROSS JOIN LATERAL (SELECT {columns} FROM listings WHERE {conditions(names)} OFFSET 0) AS found
        LIMIT :cap
    """  # noqa: S608


def whole_blocks(names: tuple[str, ...]) -> str:
    """The matches block by block until ``:cap`` are reached; no block is left half read, so none is newer than they."""
    inside = conditions(tuple(name for name in names if name != "block"))
    return f"""
        read_blocks (ordinal, ids, total) AS (
            SELECT 0, CAST('{{}}' AS bigint[]), 0
            UNION ALL
            SELECT ordinal + 1, block.ids, total + cardinality(block.ids) FROM read_blocks CROSS JOIN LATERAL (
                SELECT ARRAY(
                    SELECT listing_id FROM listings WHERE {inside}
                    AND document @@ CAST((CAST(:blocks AS text[]))[read_blocks.ordinal + 1] AS tsquery) LIMIT :most_collected
                ) AS ids
            ) AS block
            WHERE total < :cap AND ordinal < cardinality(CAST(:blocks AS text[]))
        ),
    """  # noqa: S608


_TOTAL_COLLECTED = "SELECT count(*) AS total FROM hits"


@lru_cache(maxsize=256)
def walk_bitmaps(names: tuple[str, ...], order: str, descending: bool, keyed: bool) -> Prepared:
    """As ``walk``, but whether a listing matches is read from the bitmaps: no row is visited but those of the page.

    Not for the order by distance. Null bits, of a block without any, match nothing. Nothing comes back where too many
    changes are pending.
    """
    key = ORDERS[order].key
    beyond = after(order, descending).replace("sort_key", key, 1) if keyed else "true"
    direction = "DESC" if descending else "ASC"
    return prepared(
        f"""
        WITH {MATCHED}, {others(names)}, page AS MATERIALIZED (
            SELECT listing_id, {key} AS sort_key FROM listings
            WHERE (SELECT count(*) FROM pending) <= {MOST_PENDING} AND is_searchable AND {beyond} AND (
                {MATCHED_BIT} = 1
                OR listing_id IN (SELECT listing_id FROM others)
            )
            ORDER BY {key} {direction}, listing_id {direction} LIMIT :count OFFSET :offset
        )
        SELECT {_COLUMNS}, page.sort_key FROM page JOIN listings AS listing USING (listing_id)
        ORDER BY page.sort_key {direction}, page.listing_id {direction}
        """  # noqa: S608
    )


@lru_cache(maxsize=64)
def count_bitmaps(names: tuple[str, ...]) -> Prepared:
    """How many match by their bitmaps; null where too many changes are pending."""
    return prepared(f"WITH {MATCHED}, {others(names)} {TOTAL_MATCHED}")


@lru_cache(maxsize=1024)
def collect(names: tuple[str, ...], order: str, descending: bool, keyed: bool, near: bool) -> Prepared:
    """As ``walk``, from collected matches. Every row has ``total``; without any there is one, of nulls but for it."""
    beyond = after(order, descending) if keyed else "true"
    return prepared(
        f"""
        WITH hits AS MATERIALIZED ({hits(names, f"listing_id, {ORDERS[order].key} AS sort_key")}),
        page AS (
            SELECT listing_id, sort_key FROM hits WHERE {beyond} {sorted_by(descending)} LIMIT :count OFFSET :offset
        )
        {_with_total(near)} {sorted_by(descending)}
        """  # noqa: S608
    )


@lru_cache(maxsize=1024)
def rank(names: tuple[str, ...], keyed: bool, backward: bool, near: bool) -> Prepared:
    """The most relevant of the collected matches; the key of those too old to be ranked is -1.

    ``floor`` and ``top`` of each row are the ids between which matches are ranked. A cursor carries them back, so
    that listings published or removed meanwhile move nobody across a page.
    """
    comparison, direction = (">", "ASC") if backward else ("<", "DESC")
    beyond = f"(sort_key, listing_id) {comparison} (CAST(:key AS float8), :id)" if keyed else "true"
    newest = "listing_id >= :floor" if keyed else "place <= :most_ranked"
    # Title words weigh most, the description least; 1: a long text does not win by its length.
    score = "CAST(ts_rank_cd('{0.1, 0.3, 0.4, 1.0}', listing.document, CAST(:ranked AS tsquery), 1) AS float8)"
    return prepared(
        f"""
        WITH RECURSIVE {_newest_hits(names, keyed)}
        placed AS MATERIALIZED (
            SELECT listing_id, row_number() OVER (ORDER BY ordinal, listing_id DESC) AS place FROM hits
        ),
        newest AS MATERIALIZED (SELECT listing_id FROM placed WHERE {newest}),
        scored AS (
            SELECT newest.listing_id, {score} AS sort_key FROM newest JOIN listings AS listing USING (listing_id)
            UNION ALL SELECT listing_id, -1 FROM placed WHERE NOT ({newest})
        ),
        page AS (
            SELECT listing_id, sort_key, (SELECT min(listing_id) FROM newest) AS floor,
                (SELECT max(listing_id) FROM newest) AS top
            FROM scored WHERE {beyond}
            ORDER BY sort_key {direction}, listing_id {direction} LIMIT :count OFFSET :offset
        )
        {_with_total(near, ", page.floor, page.top", TOTAL_MATCHED if "bitmaps" in names else _TOTAL_COLLECTED)}
        ORDER BY sort_key {direction}, listing_id {direction}
        """  # noqa: S608
    )


def _newest_hits(names: tuple[str, ...], keyed: bool) -> str:
    if "bitmaps" in names:
        return f"{MATCHED}, {others(names)}, {newest_matched(names, keyed)}"
    if "block" in names:
        hits_of_blocks = "SELECT unnest(ids) AS listing_id, ordinal FROM read_blocks"
        return f"{whole_blocks(names)} hits AS MATERIALIZED ({hits_of_blocks}),"
    return f"hits AS MATERIALIZED ({hits(names, 'listing_id')}),"


def _with_total(near: bool, more: str = "", total: str = _TOTAL_COLLECTED) -> str:
    return f"""
        SELECT {_COLUMNS}, page.sort_key, counted.total{more}{_DISTANCE if near else ""}
        FROM ({total}) AS counted
        LEFT JOIN (page JOIN listings AS listing USING (listing_id)) ON true
    """  # noqa: S608


@lru_cache(maxsize=256)
def count(names: tuple[str, ...]) -> Prepared:
    """How many match, up to ``:cap``."""
    return prepared(f"SELECT count(*) FROM (SELECT 1 FROM listings WHERE {conditions(names)} LIMIT :cap) AS hits")  # noqa: S608


@lru_cache(maxsize=256)
def count_hits(names: tuple[str, ...]) -> Prepared:
    """How many can be collected, up to ``:cap``."""
    return prepared(f"SELECT count(*) FROM ({hits(names, 'listing_id')}) AS hits")  # noqa: S608
