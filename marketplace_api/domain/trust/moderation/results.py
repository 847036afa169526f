"""What became of one of many."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Result:
    """``detail`` says why nothing was done to the subject; without one, something was.

    Then ``version`` is what the subject has become, and ``previous`` (JSON-ready) what putting it back needs.
    """

    subject_id: int
    version: int = 0
    previous: Mapping[str, Any] = field(default_factory=dict)
    detail: str | None = None


PreviewCounts = Mapping[str | None, int]
"""How many things an action would be refused for which reason, as its results tell it; ``None``: it would be done."""


def count_preview(groups: Iterable[Any], refusal: Callable[[Any], str | None]) -> PreviewCounts:
    """Of groups of things that are alike in all that ``refusal`` looks at; each has their ``number``."""
    found: dict[str | None, int] = {}
    for group in groups:
        reason = refusal(group)
        found[reason] = found.get(reason, 0) + group.number
    return found


@dataclass(frozen=True, slots=True)
class Done:
    """What an earlier action did to a subject, to be put back; see :class:`Result`."""

    subject_id: int
    version: int
    previous: Mapping[str, Any]

    def changed_since(self) -> Result:
        return Result(self.subject_id, detail="It has changed since.")
