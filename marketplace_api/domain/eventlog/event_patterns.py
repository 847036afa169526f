"""Which events a program wants to hear of: types, all types of a subject (``listing.*``), or everything (``*``)."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from marketplace_api.domain.kernel.events import EventType

EVERYTHING = "*"
SUBJECTS = tuple(dict.fromkeys(kind.value.partition(".")[0] for kind in EventType))
PATTERNS = (EVERYTHING, *(f"{subject}.*" for subject in SUBJECTS), *(kind.value for kind in EventType))
"""All that can be chosen, by an endpoint and in the feed."""

# What was done by hand is told to that one endpoint, and not again to all that listen.
UNTOLD = frozenset({EventType.WEBHOOK_TESTED.value, EventType.WEBHOOK_RESENT.value})


def matches(chosen: Collection[str], type: str) -> bool:
    """Whether an endpoint that chose these is told of events of this type."""
    if type in UNTOLD:
        return False
    return EVERYTHING in chosen or type in chosen or f"{type.partition('.')[0]}.*" in chosen


def expand(chosen: Collection[str]) -> list[str]:
    """The types of the log that these name; none where they name everything."""
    if EVERYTHING in chosen:
        return []
    return [kind.value for kind in EventType if kind.value in chosen or f"{kind.value.partition('.')[0]}.*" in chosen]


def types_of(choices: Sequence[Collection[str]]) -> list[str] | None:
    """The types that anybody chose; ``None`` where somebody chose everything."""
    if any(EVERYTHING in chosen for chosen in choices):
        return None
    return [kind.value for kind in EventType if any(matches(chosen, kind.value) for chosen in choices)]
