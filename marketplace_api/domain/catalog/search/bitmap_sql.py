"""The parts of statements that read bitmaps (see ``models.search``): what matches by them, and what must be looked up."""

from __future__ import annotations

from marketplace_api.domain.catalog.search.conditions import conditions

MOST_PENDING = 2_000
"""With more changes than these not yet in the bitmaps it is better not to use them."""

# ``matched`` are the bitmaps of the listings that hold a lexeme of each group, but for those that changed since;
# ``others`` the matches among these, and those that hold a rare lexeme instead of a frequent one. Blocks of ids below
# ``:from_block`` are left out.
MATCHED = f"""
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
MATCHED_BIT = """
    get_bit(
        (SELECT bits FROM flat)[(listing_id >> 12) - (SELECT base FROM flat) + 1], CAST(listing_id & 4095 AS integer)
    )
"""
TOTAL_MATCHED = f"""
    SELECT CASE WHEN (SELECT count(*) FROM pending) <= {MOST_PENDING} THEN
        (SELECT CAST(coalesce(sum(bit_count(bits)), 0) AS bigint) FROM matched) + (SELECT count(*) FROM others)
    END AS total
"""  # noqa: S608


def others(names: tuple[str, ...]) -> str:
    """The ids of the matches that ``matched`` does not know of, as the CTE ``others``."""
    rare = tuple(name for name in names if name not in ("bitmaps", "not_above"))
    # What a rare lexeme finds may hold a frequent one too: then it is in the bitmaps, or among the changed, already.
    looked_up = f"UNION SELECT listing_id FROM listings WHERE {conditions(rare)} AND {MATCHED_BIT} IS DISTINCT FROM 1"  # noqa: S608
    return f"""
        others AS MATERIALIZED (
            SELECT listing_id FROM changed JOIN listings USING (listing_id)
            WHERE is_searchable AND ts_match_vq(document, CAST(:frequent AS tsquery))
            {looked_up if rare else ""}
        )
    """  # noqa: S608


def newest_matched(names: tuple[str, ...], keyed: bool) -> str:
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
