"""What became of one of many."""

from __future__ import annotations

from collections.abc import Mapping
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


@dataclass(frozen=True, slots=True)
class Done:
    """What an earlier action did to a subject, to be put back; see :class:`Result`."""

    subject_id: int
    version: int
    previous: Mapping[str, Any]

    def changed_since(self) -> Result:
        return Result(self.subject_id, detail="It has changed since.")
