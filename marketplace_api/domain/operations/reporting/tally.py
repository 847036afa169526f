"""Folding counted groups into figures: sums by one of their columns, the largest first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

Number = Callable[[Any], int]


def by(rows: Iterable[Any], name: str, number: Number = lambda row: int(row.number)) -> dict[str, int]:
    """The sums of ``number`` by the column ``name``, the largest first; without a value as ``(none)``."""
    sums: dict[str, int] = {}
    for row in rows:
        value = getattr(row, name)
        key = "(none)" if value is None else str(value)
        sums[key] = sums.get(key, 0) + number(row)
    kept = {key: count for key, count in sums.items() if count}
    return dict(sorted(kept.items(), key=lambda item: (-item[1], item[0])))


def largest(sums: Mapping[str, int], most: int) -> dict[str, int]:
    """The ``most`` largest of ``sums`` (sorted as :func:`by` does), and the rest of them as ``(others)``."""
    kept = dict(list(sums.items())[:most])
    rest = sum(sums.values()) - sum(kept.values())
    return kept | ({"(others)": rest} if rest else {})


def hours(seconds: Any) -> float | None:
    """Seconds as hours, to one decimal."""
    return None if seconds is None else round(float(seconds) / 3600, 1)
