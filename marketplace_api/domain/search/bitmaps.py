"""Counting what holds several frequent lexemes at once, without visiting a row.

Every lexeme that thousands of listings hold has bitmaps (see ``models.search``). Anding them costs the same for ten
matches as for a hundred thousand. Rare lexemes have none: what matches by them alone is looked up in the index.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from marketplace_api.db import Reader
from marketplace_api.domain.search import statements, text
from marketplace_api.domain.search.plan import Plan

_MOST_PENDING = 2_000
_MOST_RARE = 3_000

_COUNT = sa.text(
    f"""
    WITH pending AS MATERIALIZED (SELECT listing_id FROM search_changes LIMIT {_MOST_PENDING + 1}),
    changed AS MATERIALIZED (SELECT DISTINCT listing_id FROM pending),
    matched AS MATERIALIZED (
        SELECT block, bit_and(bits) AS bits FROM (
            SELECT wanted.number, held.block, bit_or(held.bits) AS bits
            FROM unnest(CAST(:terms AS text[]), CAST(:numbers AS integer[])) AS wanted (term, number)
            JOIN search_bitmaps AS held ON held.term = wanted.term COLLATE "C"
            GROUP BY wanted.number, held.block
        ) AS one GROUP BY block HAVING count(*) = CAST(:groups AS integer)
    )
    SELECT CASE WHEN (SELECT count(*) FROM pending) <= {_MOST_PENDING} THEN
        (SELECT coalesce(sum(bit_count(bits)), 0) FROM matched)
        - (SELECT count(*) FROM changed JOIN matched ON matched.block = changed.listing_id >> 12
            WHERE get_bit(matched.bits, CAST(changed.listing_id & 4095 AS integer)) = 1)
        + (SELECT count(*) FROM changed JOIN listings USING (listing_id)
            WHERE is_searchable AND ts_match_vq(document, CAST(:frequent AS tsquery)))
    END
    """  # noqa: S608  made of constants only
)


def count(db: Reader, plan: Plan, values: dict[str, Any]) -> int | None:
    """The number of matches; ``None`` where bitmaps cannot tell."""
    often = [[lexeme for lexeme in group if lexeme in plan.frequent] for group in plan.groups]
    rare = [[lexeme for lexeme in group if lexeme not in plan.frequent] for group in plan.groups]
    if not often or not all(often) or sum(plan.counts.get(lexeme, 0) for group in rare for lexeme in group) > _MOST_RARE:
        return None
    found = db.execute(_COUNT, {
        "terms": [lexeme for group in often for lexeme in group],
        "numbers": [number for number, group in enumerate(often) for _lexeme in group],
        "groups": len(often),
        "frequent": " & ".join(f"( {text.any_of(group)} )" for group in often),
    }).scalar_one()
    if found is None:
        return None
    return int(found) + _without_frequent(db, plan, values, often, rare)


def _without_frequent(
    db: Reader, plan: Plan, values: dict[str, Any], often: list[list[str]], rare: list[list[str]]
) -> int:
    """The number of matches that hold none but rare lexemes of some group."""
    only = [
        f"( ( {text.any_of(few)} ) & !( {text.any_of(many)} ) )" for few, many in zip(rare, often, strict=True) if few
    ]
    if not only:
        return 0
    names = ("only_rare", *(f"indexed_{number}" for number in range(len(plan.indexed))))
    return int(db.execute(statements.count_hits(names), {**values, "only_rare": " | ".join(only)}).scalar_one())
