"""Which rows match: the conditions of a search by name (see ``statements``) and the values of their parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marketplace_api.domain.catalog.search import geo
from marketplace_api.domain.catalog.search.plan import Plan
from marketplace_api.domain.catalog.search.query import SearchQuery
from marketplace_api.domain.kernel.paging import TOTAL_CAP

CAP = TOTAL_CAP + 1
"""One more than is counted: to have found so many is to know that there are more."""


def compared(query: SearchQuery, *, indexed: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The conditions on columns that no tsquery can stand for; those of ``indexed`` so that an index may serve."""
    given = {
        "min_price": query.min_price is not None,
        "max_price": query.max_price is not None,
        "owner": query.owner is not None,
        "radius": query.radius_km is not None,
        "bbox": query.bbox is not None and query.bbox[0] <= query.bbox[2],
        "bbox_across": query.bbox is not None and query.bbox[0] > query.bbox[2],
        "located": query.order == "distance",
    }
    return tuple(f"indexed_{name}" if name in indexed else name for name, is_given in given.items() if is_given)


def walked(query: SearchQuery, plan: Plan, order: str) -> tuple[str, ...]:
    """All conditions, for rows met in ``order``."""
    words = ("words",) if plan.walked is not None else ()
    names = compared(query, indexed=("min_price", "max_price") if order == "price" else ())
    if not query.category:
        return (*words, *names)
    has_own_index = len(plan.slugs) == 1 and order in ("price", "date_created")
    return (*words, *names, "category" if has_own_index else "categories")


def collected(query: SearchQuery, plan: Plan, *, at_once: float) -> tuple[str, ...]:
    """All conditions, led by the one whose index finds the fewest rows.

    When more than ``at_once`` matches are likely they are read block by block, the newest first.
    """
    rest = (("words",) if plan.walked is not None else ()) + (("categories",) if query.category else ())
    if query.owner is not None and plan.most >= CAP:
        return (*compared(query, indexed=("owner",)), *rest)
    in_region = plan.most_in_region
    # The indexes of places hold what else such a search compares; only words make them visit the rows.
    if in_region is not None and (plan.walked is None or CAP <= plan.most <= in_region < 2 * CAP):
        if query.bbox is None:
            return ("region", *compared(query), *rest)
        return ("strip", *(name for name in compared(query) if not name.startswith("bbox")), *rest)
    indexed = tuple(f"indexed_{number}" for number in range(len(plan.indexed)))
    blocks = ("block",) if plan.likely > at_once else ()
    return (*blocks, *indexed, *compared(query))


def is_price_range(query: SearchQuery) -> bool:
    """Whether there is nothing but a price range, perhaps within a category: an index on both counts these."""
    others: list[Any] = [
        query.words,
        query.place,
        query.verified,
        query.owner,
        query.near if query.order == "distance" else None,
        query.radius_km,
        query.bbox,
    ]
    has_range = query.min_price is not None or query.max_price is not None
    return has_range and not query.wanted_amenities and all(other is None for other in others)


def price_range(query: SearchQuery) -> tuple[str, ...]:
    """The conditions of :func:`is_price_range`, for the index."""
    names = compared(query, indexed=("min_price", "max_price"))
    return (*names, "indexed_categories") if query.category else names


def values(query: SearchQuery, plan: Plan) -> dict[str, Any]:
    """The parameters of every condition."""
    found: dict[str, Any] = {
        "words": plan.walked,
        "ranked": plan.ranked,
        "cap": CAP,
        "most_collected": CAP,
        "category": plan.slugs[0] if plan.slugs else None,
        "categories": list(plan.slugs),
        "min_price": query.min_price,
        "max_price": query.max_price,
        "owner": query.owner,
    }
    found |= {f"indexed_{number}": tsquery for number, tsquery in enumerate(plan.indexed)}
    if query.near is not None:
        found |= _around(query, query.near)
    if query.bbox is not None:
        found |= dict(zip(("west", "south", "east", "north"), query.bbox, strict=True))
        ranges = list(geo.strips(geo.boxes_of(query.bbox)))
        names = ("firsts", "lasts", "lows", "highs")
        found |= {name: [strip[number] for strip in ranges] for number, name in enumerate(names)}
    return found


def _around(query: SearchQuery, near: tuple[float, float]) -> Mapping[str, Any]:
    centre = order_centre(query, near)
    found: dict[str, Any] = {"point": geo.cube(geo.point(*near)), "order_point": geo.cube(centre)}
    if query.radius_km is not None:
        straight = geo.chord(query.radius_km)
        found |= {"chord": straight, "region": geo.cube_around(geo.point(*near), straight)}
    return found


def order_centre(query: SearchQuery, near: tuple[float, float]) -> tuple[float, float, float]:
    """The point whose neighbours come first: ``near``, or its antipode when the farthest are wanted first."""
    x, y, z = geo.point(*near)
    return (-x, -y, -z) if query.order == "distance" and query.is_descending else (x, y, z)
