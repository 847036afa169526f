"""Which public files are withdrawn for now, because what they belong to is out of public view."""

from __future__ import annotations

import time
from collections.abc import Callable

from marketplace_api.database.prepared import Reader
from marketplace_api.domain.kernel.registries import WITHDRAWALS

OPEN_SECONDS = 5.0
"""So long a process may go on to show what has just been withdrawn; what comes back is shown at once."""

MOST_REMEMBERED = 20_000


class OpenFiles:
    """Asks the database about each file, and no more than once in :data:`OPEN_SECONDS` about one that is open."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}

    def has(self, reader: Callable[[], Reader], key: str) -> bool:
        """Whether whoever knows this key may fetch the file now; ``reader`` is called where the database must be asked."""
        now = self._clock()
        if self._until.get(key, 0.0) > now:
            return True
        kind = key.partition("-")[0]
        if any(entry.name == kind and entry.is_withdrawn(reader(), key) for entry in WITHDRAWALS):
            self._until.pop(key, None)
            return False
        if len(self._until) >= MOST_REMEMBERED:
            self._until = {}  # another thread's entry may be lost with it, which costs a question
        self._until[key] = now + OPEN_SECONDS
        return True
