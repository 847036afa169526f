"""Finding what holds several frequent lexemes at once, without visiting a row.

Every lexeme that thousands of listings hold has bitmaps (see ``models.search``). Anding them costs the same for ten
matches as for a hundred thousand. Rare lexemes have none: what matches by them alone is looked up in the index.
"""

from __future__ import annotations

from typing import Any

from marketplace_api.db import Reader
from marketplace_api.domain.search import matching, statements, text
from marketplace_api.domain.search.plan import Plan

_MOST_RARE = 3_000
_ONLY_FREQUENT = ("bitmaps",)


def conditions(plan: Plan) -> tuple[str, ...] | None:
    """The conditions with which ``statements`` reads the bitmaps for ``plan``; ``None`` where they cannot tell."""
    often, rare = _split(plan)
    if not often or not all(often) or _sum(plan, rare) > _MOST_RARE:
        return None
    if not any(rare):
        return _ONLY_FREQUENT
    return ("bitmaps", "only_rare", *(f"indexed_{number}" for number in range(len(plan.indexed))))


def values(plan: Plan) -> dict[str, Any]:
    """The parameters of :func:`conditions`."""
    often, rare = _split(plan)
    return {
        "terms": [lexeme for group in often for lexeme in group],
        "numbers": [number for number, group in enumerate(often) for _lexeme in group],
        "groups": len(often),
        "frequent": " & ".join(f"( {text.any_of(group)} )" for group in often),
        # What holds none but rare lexemes of some group is in no bitmap of that group.
        "only_rare": " | ".join(
            f"( ( {text.any_of(few)} ) & !( {text.any_of(many)} ) )"
            for few, many in zip(rare, often, strict=True)
            if few
        ),
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
    return None if found is None or (names is None and found < matching.CAP) else int(found)
