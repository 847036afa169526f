"""The SQL of search. Statements are few and each is built once: what varies between two searches of the same shape
travels in parameters, so both SQLAlchemy's and PostgreSQL's statement caches hit.

Two ways to find listings: ``walk`` follows an index in the wanted order and drops what does not match; ``collect``
gathers up to a bounded number of matches, counts them and sorts them. Which is right is decided in ``finding``.
"""

from __future__ import annotations

from functools import lru_cache

from marketplace_api.db import Prepared
from marketplace_api.domain.listings import rows
from marketplace_api.domain.search.geo import EARTH_RADIUS_KM
from marketplace_api.domain.search.plan import MOST_CONDITIONS
from marketplace_api.domain.search.query import ORDERS
from marketplace_api.domain.search.sql import prepared

RANKED = 300
"""Relevance is computed for so many of the newest matches; older ones follow by age."""

_DIAMETER = 2 * EARTH_RADIUS_KM
_COLUMNS = ", ".join(f"listing.{column.name}" for column in rows.COLUMNS)
_DISTANCE = f", {_DIAMETER} * asin(least(1, (listing.position <-> CAST(:point AS cube)) / {_DIAMETER})) AS distance_km"

# Conditions on columns. Most are written so that no index fits them ("+ 0"): the way to the rows is chosen here, from
# exact counts; the planner, guessing at parameters it cannot see, must not choose another.
CONDITIONS = {
    "words": "ts_match_vq(document, CAST(:words AS tsquery))",
    "category": "category = :category",
    "categories": "category || '' = ANY(CAST(:categories AS text[]))",
    "indexed_categories": "category = ANY(CAST(:categories AS text[]))",
    "min_price": "price + 0 >= CAST(:min_price AS numeric)",
    "max_price": "price + 0 <= CAST(:max_price AS numeric)",
    "indexed_min_price": "price >= CAST(:min_price AS numeric)",
    "indexed_max_price": "price <= CAST(:max_price AS numeric)",
    "owner": "user_id + 0 = :owner",
    "indexed_owner": "user_id = :owner",
    "radius": "position <-> CAST(:point AS cube) <= CAST(:chord AS float8)",
    "bbox": "round(latitude, 2) BETWEEN CAST(:south AS float8) AND CAST(:north AS float8) "
    "AND round(longitude, 2) BETWEEN CAST(:west AS float8) AND CAST(:east AS float8)",
    "bbox_across": "round(latitude, 2) BETWEEN CAST(:south AS float8) AND CAST(:north AS float8) "
    "AND (round(longitude, 2) >= CAST(:west AS float8) OR round(longitude, 2) <= CAST(:east AS float8))",
    "strip": "spot BETWEEN strip.first AND strip.last AND spot % 10 BETWEEN strip.low AND strip.high",
    "located": "position IS NOT NULL",
    "region": "position <@ CAST(:region AS cube)",
    "rare": "document @@ CAST(:rare AS tsquery)",
    "recent": "document @@ CAST(:recent AS tsquery)",
    "block": "document @@ CAST(block.mark AS tsquery)",
    **{f"indexed_{number}": f"document @@ CAST(:indexed_{number} AS tsquery)" for number in range(MOST_CONDITIONS)},
    "not_above": "listing_id + 0 <= :top",
}


def conditions(names: tuple[str, ...]) -> str:
    return " AND ".join(["is_searchable", *(CONDITIONS[name] for name in names)])


_INDEXABLE = ("category", "region", "indexed_min_price", "indexed_max_price")


def walked_conditions(names: tuple[str, ...]) -> str:
    """As ``conditions``, for a walk. Inside CASE a condition is not estimated: the planner, who takes most of them to
    let nearly nothing through, would rather sort the whole table than walk."""
    checked = " AND ".join(CONDITIONS[name] for name in names if name not in _INDEXABLE)
    indexable = conditions(tuple(name for name in names if name in _INDEXABLE))
    return f"{indexable} AND CASE WHEN {checked} THEN true ELSE false END" if checked else indexable


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
        blocks (ordinal, ids, total) AS (
            SELECT 0, CAST('{{}}' AS bigint[]), 0
            UNION ALL
            SELECT ordinal + 1, block.ids, total + cardinality(block.ids) FROM blocks CROSS JOIN LATERAL (
                SELECT ARRAY(
                    SELECT listing_id FROM listings WHERE {inside}
                    AND document @@ CAST((CAST(:blocks AS text[]))[blocks.ordinal + 1] AS tsquery) LIMIT :most_collected
                ) AS ids
            ) AS block
            WHERE total < :cap AND ordinal < cardinality(CAST(:blocks AS text[]))
        ),
    """  # noqa: S608


MOST_PENDING = 2_000
"""With more changes than these not yet in the bitmaps it is better not to use them."""

# ``matched`` are the bitmaps of the listings that hold a lexeme of each group, but for those that changed since;
# ``others`` the matches among these, and those that hold a rare lexeme instead of a frequent one. Blocks of ids below
# ``:from_block`` are left out.
_MATCHED = f"""
    pending AS MATERIALIZED (SELECT listing_id FROM search_changes LIMIT {MOST_PENDING + 1}),
    changed AS MATERIALIZED (
        SELECT DISTINCT listing_id FROM pending WHERE listing_id >> 12 >= CAST(:from_block AS bigint)
    ),
    masks AS (
        SELECT listing_id >> 12 AS block,
            bit_or(set_bit(CAST(0 AS bit(4096)), CAST(listing_id & 4095 AS integer), 1)) AS bits
        FROM changed GROUP BY 1
    ),
    held AS (
        SELECT block, bit_and(bits) AS bits FROM (
            SELECT wanted.number, bitmap.block, bit_or(bitmap.bits) AS bits
            FROM unnest(CAST(:terms AS text[]), CAST(:numbers AS integer[])) AS wanted (term, number)
            JOIN search_bitmaps AS bitmap ON bitmap.term = wanted.term COLLATE "C"
            WHERE bitmap.block >= CAST(:from_block AS bigint)
            GROUP BY wanted.number, bitmap.block
        ) AS one GROUP BY block HAVING count(*) = CAST(:groups AS integer)
    ),
    matched AS MATERIALIZED (
        SELECT block, CASE WHEN masks.bits IS NULL THEN held.bits ELSE held.bits & ~masks.bits END AS bits
        FROM held LEFT JOIN masks USING (block)
    ),
    flat AS MATERIALIZED (
        SELECT min(block) AS base, array_agg(bits ORDER BY block) AS bits FROM (
            SELECT block, bit_or(bits) AS bits FROM (
                SELECT block, bits FROM matched
                UNION ALL SELECT generate_series(min(block), max(block)), NULL FROM matched
            ) AS every GROUP BY block
        ) AS one
    )
"""  # noqa: S608
# The bit of a listing in ``matched``; null for a block without any. A subscript cannot be planned wrongly, as a join of
# so few expected rows can.
_MATCHED_BIT = """
    get_bit(
        (SELECT bits FROM flat)[(listing_id >> 12) - (SELECT base FROM flat) + 1], CAST(listing_id & 4095 AS integer)
    )
"""
_TOTAL_COLLECTED = "SELECT count(*) AS total FROM hits"
_TOTAL_MATCHED = f"""
    SELECT CASE WHEN (SELECT count(*) FROM pending) <= {MOST_PENDING} THEN
        (SELECT CAST(coalesce(sum(bit_count(bits)), 0) AS bigint) FROM matched) + (SELECT count(*) FROM others)
    END AS total
"""  # noqa: S608


def _others(names: tuple[str, ...]) -> str:
    rare = tuple(name for name in names if name not in ("bitmaps", "not_above"))
    # What a rare lexeme finds may hold a frequent one too: then it is in the bitmaps, or among the changed, already.
    looked_up = f"UNION SELECT listing_id FROM listings WHERE {conditions(rare)} AND {_MATCHED_BIT} IS DISTINCT FROM 1"  # noqa: S608
    return f"""
        others AS MATERIALIZED (
            SELECT listing_id FROM changed JOIN listings USING (listing_id)
            WHERE is_searchable AND ts_match_vq(document, CAST(:frequent AS tsquery))
            {looked_up if rare else ""}
        )
    """  # noqa: S608


def _newest_matched(names: tuple[str, ...], keyed: bool) -> str:
    """The ids of ``matched``, block by block until ``:cap`` are reached. Words of 64 bits, then of 8, skip what is empty."""
    above = "block >= CAST(:floor AS bigint) >> 12" if keyed else "true"
    return f"""
        counted_blocks AS (
            SELECT block, bits, sum(bit_count(bits)) OVER (ORDER BY block DESC) - bit_count(bits) AS above
            FROM matched WHERE {above} AND bit_count(bits) > 0
        ),
        words AS (
            SELECT (block << 12) + (part << 6) AS start, substring(bits FROM (part << 6) + 1 FOR 64) AS bits
            FROM counted_blocks CROSS JOIN generate_series(0, 63) AS part WHERE above < :cap
        ),
        counted_words AS (
            SELECT start, bits, sum(bit_count(bits)) OVER (ORDER BY start DESC) - bit_count(bits) AS above
            FROM words WHERE bit_count(bits) > 0
        ),
        octets AS MATERIALIZED (
            SELECT start + (part << 3) AS start, substring(bits FROM (part << 3) + 1 FOR 8) AS bits
            FROM counted_words CROSS JOIN generate_series(0, 7) AS part WHERE above < :cap
        ),
        hits AS MATERIALIZED (
            SELECT listing_id, 0 AS ordinal FROM (
                SELECT start + bit AS listing_id FROM octets CROSS JOIN generate_series(0, 7) AS bit
                WHERE bit_count(bits) > 0 AND get_bit(bits, bit) = 1
                UNION ALL SELECT listing_id FROM others
            ) AS found {"WHERE listing_id <= :top" if "not_above" in names else ""}
        ),
    """  # noqa: S608


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
        WITH {_MATCHED}, {_others(names)}, page AS MATERIALIZED (
            SELECT listing_id, {key} AS sort_key FROM listings
            WHERE (SELECT count(*) FROM pending) <= {MOST_PENDING} AND is_searchable AND {beyond} AND (
                {_MATCHED_BIT} = 1
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
    return prepared(f"WITH {_MATCHED}, {_others(names)} {_TOTAL_MATCHED}")


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
        {_with_total(near, ", page.floor, page.top", _TOTAL_MATCHED if "bitmaps" in names else _TOTAL_COLLECTED)}
        ORDER BY sort_key {direction}, listing_id {direction}
        """  # noqa: S608
    )


def _newest_hits(names: tuple[str, ...], keyed: bool) -> str:
    if "bitmaps" in names:
        return f"{_MATCHED}, {_others(names)}, {_newest_matched(names, keyed)}"
    if "block" in names:
        hits_of_blocks = "SELECT unnest(ids) AS listing_id, ordinal FROM blocks"
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
