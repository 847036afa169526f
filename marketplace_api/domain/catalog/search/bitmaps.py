"""Finding what holds several frequent lexemes at once, without visiting a row.

Every lexeme that thousands of listings hold has bitmaps (see ``models.search``). Anding them costs the same for ten
matches as for a hundred thousand. Rare lexemes have none: what matches by them alone is looked up in the index.
"""

from __future__ import annotations

from typing import Any

from marketplace_api.database.prepared import Reader
from marketplace_api.domain.catalog.search import predicates, statements, text
from marketplace_api.domain.catalog.search.plan import Plan

_MOST_RARE = 8_000
_ONLY_FREQUENT = ("bitmaps",)
_BLOCK_BITS = 12
_MARGIN = 3
"""Lexemes come in waves: so many times as many blocks are read as should hold the wanted number of matches."""


def conditions(plan: Plan, from_block: int = 0) -> tuple[str, ...] | None:
    """The conditions with which ``statements`` reads the bitmaps for ``plan``; ``None`` where they cannot tell."""
    often, rare = _split(plan)
    if not often or not all(often) or _sum(plan, rare) > _MOST_RARE:
        return None
    if not any(rare):
        return _ONLY_FREQUENT
    indexed = plan.indexed if len(often) > 1 else ()
    recent = ("recent",) if from_block else ()
    return ("bitmaps", "rare", *recent, *(f"indexed_{number}" for number in range(len(indexed))))


def newest(plan: Plan, wanted: int) -> int:
    """The block from which on ``wanted`` matches are likely; 0 where all must be read to know how many match."""
    first = next((lexeme for group in plan.groups[:1] for lexeme in group), "")
    known = plan.counts.get(first, 0)
    if len(plan.groups) != 1 or (plan.exact is None and known < predicates.CAP):
        return 0
    blocks = _MARGIN * wanted * plan.everything // (max(known, 1) << _BLOCK_BITS)
    return max(0, (plan.top >> _BLOCK_BITS) - blocks - 1)


def values(plan: Plan, from_block: int = 0) -> dict[str, Any]:
    """The parameters of :func:`conditions`, for the listings from the block of 4,096 ids ``from_block`` on."""
    often, rare = _split(plan)
    # One more than there are now: it may begin before the statement runs.
    recent = range(from_block, (plan.top >> _BLOCK_BITS) + 2) if from_block else ()
    return {
        "from_block": from_block,
        "recent": text.any_of([f"#0={block}" for block in recent]),
        "terms": [lexeme for group in often for lexeme in group],
        "numbers": [number for number, group in enumerate(often) for _lexeme in group],
        "groups": len(often),
        "frequent": " & ".join(f"( {text.any_of(group)} )" for group in often),
        "rare": text.any_of([lexeme for few in rare for lexeme in few]),
    }


def _split(plan: Plan) -> tuple[list[list[str]], list[list[str]]]:
    often = [[lexeme for lexeme in group if lexeme in plan.frequent] for group in plan.groups]
    rare = [[lexeme for lexeme in group if lexeme not in plan.frequent] for group in plan.groups]
    return often, rare


def _sum(plan: Plan, groups: list[list[str]]) -> int:
    return sum(plan.counts.get(lexeme, 0) for group in groups for lexeme in group)


def count(db: Reader, plan: Plan, parameters: dict[str, Any]) -> int | None:
    """The number of matches; ``None`` where bitmaps cannot tell. Above the cap it may be too small."""
    often, _rare = _split(plan)
    if not often or not all(often):
        return None
    names = conditions(plan)
    found = statements.count_bitmaps(names or _ONLY_FREQUENT).scalar(db, {**parameters, **values(plan)})
    # Without the rare lexemes it is no more than a lower bound, which is enough above the cap.
    return None if found is None or (names is None and found < predicates.CAP) else int(found)
