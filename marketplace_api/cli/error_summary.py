"""Lines about many things that fail for few reasons: some of each, and how many more there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from marketplace_api.cli.terminal import say_line

MOST_LINES = 5
MOST_REASONS = 1_000


@dataclass(slots=True)
class ErrorSummary:
    """Says the first lines of each reason at once; :meth:`rest` says what was held back, if not ``everything`` was said.

    ``counts`` are the reasons (no more than :data:`MOST_REASONS`) and how many there were of each.
    """

    everything: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    _said: Counter[str] = field(default_factory=Counter)

    def add(self, line: str, reason: str) -> None:
        """Say the line, unless that was done of enough others with this ``reason``."""
        if reason in self.counts or len(self.counts) < MOST_REASONS:
            self.counts[reason] += 1
            if not self.everything and self._said[reason] >= MOST_LINES:
                return
            self._said[reason] += 1
        say_line(line)

    def print_rest(self, counts: Mapping[str, int] | None = None) -> bool:
        """``… and 2,990 more: It is suspended.``, by what was told or by what there is in truth; whether there was any."""
        rest = Counter(self.counts if counts is None else counts) - self._said
        for reason, number in rest.most_common():
            say_line(f"… and {number:,} more: {reason}")
        return bool(rest)
