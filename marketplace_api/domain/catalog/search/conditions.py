"""Which rows match, in SQL: every condition of a search by its name (``predicates`` chooses among them)."""

from __future__ import annotations

from marketplace_api.domain.catalog.search.plan import MOST_CONDITIONS

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
