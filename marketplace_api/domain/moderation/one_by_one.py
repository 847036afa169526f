"""Acting on many where each needs its own thought: a savepoint apiece, so that a refusal harms no other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from sqlalchemy.orm import Session

from marketplace_api.domain.moderation.results import Result
from marketplace_api.errors import DomainError

T = TypeVar("T")


def each(
    session: Session, subjects: Iterable[T], identify: Callable[[T], int], act: Callable[[T], Result]
) -> list[Result]:
    """``act`` on every subject; what it refuses becomes the detail of the result, and leaves no trace."""
    results = []
    for subject in subjects:
        try:
            with session.begin_nested():
                results.append(act(subject))
        except DomainError as error:
            results.append(Result(identify(subject), detail=error.detail))
    return results
