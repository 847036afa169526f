"""Workflows as declared tables: states, transitions, who may take them. Nothing sets a status by hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Whether a step asks why."""

    NONE = "none"
    OPTIONAL = "optional"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class Transition:
    """A step from any of ``sources`` to ``target``; no target means the state that the subject came from.

    ``permission`` is the name that the subject's ACL must grant, empty for a step that only the clock takes.
    """

    name: str
    sources: frozenset[str]
    target: str | None
    permission: str
    title: str
    description: str
    reason: Reason = Reason.NONE


@dataclass(frozen=True, slots=True)
class Workflow:
    """``states`` maps each state to its meaning; ``initial`` are those that a new subject may begin in."""

    name: str
    states: Mapping[str, str]
    initial: tuple[str, ...]
    transitions: tuple[Transition, ...]

    def __iter__(self) -> Iterator[Transition]:
        return iter(self.transitions)

    def step(self, name: str) -> Transition:
        return next(transition for transition in self.transitions if transition.name == name)

    def between(self, source: str, target: str) -> Transition | None:
        """The step that leads from ``source`` to ``target``, ``None`` when there is none."""
        return next((t for t in self.transitions if source in t.sources and t.target == target), None)
