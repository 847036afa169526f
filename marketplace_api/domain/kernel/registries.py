"""What higher contexts register with lower ones: a lower context reads the entries and knows nobody who made them.

``domain.contexts.load`` fills all of these; every process calls it before it works.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Generic, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database.prepared import Reader


class _Named(Protocol):
    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=_Named)


class Registry(Generic[T]):
    """Entries by name, in the order in which they were added; adding one again replaces it."""

    is_complete: ClassVar[bool] = False

    def __init__(self) -> None:
        self._entries: dict[str, T] = {}

    def add(self, entry: T) -> None:
        self._entries[entry.name] = entry

    def __iter__(self) -> Iterator[T]:
        """The entries. Raises ``LookupError`` before all contexts are loaded: what is asked must not quietly be less."""
        if not Registry.is_complete:
            raise LookupError("The contexts are not loaded: call marketplace_api.domain.contexts.load() first.")
        return iter(self._entries.values())


@dataclass(frozen=True, slots=True)
class OwnerEffect:
    """What happens to the things of an account that leaves public view or comes back.

    ``hide(session, user_id, hidden)`` runs in the transaction that changes the account, whose row is locked.
    """

    name: str
    hide: Callable[[Session, int, bool], None]


@dataclass(frozen=True, slots=True)
class Sweeper:
    """A table whose rows are not shown while one of their files is missing: it has a column ``is_broken``.

    ``columns`` are the names of those that hold keys of files.
    """

    name: str
    table: sa.Table
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A kind of public files of which some are out of public view: ``is_withdrawn(reader, key)`` says whether this one is.

    ``name`` is the kind. Of a file that nothing names it says no: it may be too new for a replica, and keys cannot be
    guessed.
    """

    name: str
    is_withdrawn: Callable[[Reader, str], bool]


OWNER_EFFECTS: Registry[OwnerEffect] = Registry()
SWEEPERS: Registry[Sweeper] = Registry()
WITHDRAWALS: Registry[Withdrawal] = Registry()


def complete() -> None:
    """Say that all contexts have registered; only then may entries be read."""
    Registry.is_complete = True
