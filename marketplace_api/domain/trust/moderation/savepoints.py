"""Acting on many where each needs its own thought: a savepoint apiece, so that a refusal harms no other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import ColumnElement
from sqlalchemy.orm import Session

from marketplace_api.database.prepared import Reader
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.trust.moderation.results import Done, PreviewCounts, Result
from marketplace_api.errors import DomainError

T = TypeVar("T")
PreviewAction = Callable[[Reader, Actor, str, ColumnElement[bool]], PreviewCounts]
"""What an action would come to for all things that meet a condition."""


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


@dataclass(frozen=True, slots=True)
class Removal:
    """Moderation of many things that are deleted and restored, by the functions that do so to one of them.

    ``find(session, actor, id)`` gives the row of one, and ``preview`` tells of many what the others would refuse.
    """

    delete: Callable[..., Any]
    restore: Callable[..., Any]
    find: Callable[[Session, Actor, int], Any]
    preview: PreviewAction

    ACTIONS = ("delete", "restore")

    def act(self, session: Session, actor: Actor, action: str, reason: str, ids: Sequence[int]) -> list[Result]:
        """Do ``action``, one of :data:`ACTIONS`, to each of these that it may be done to; one result each."""

        def one(subject_id: int) -> Result:
            before = self.find(session, actor, subject_id)
            row = self._step(session, actor, action, subject_id, reason, None)
            return Result(
                subject_id, row.version, {"is_deleted": action == "restore", "reason": before.moderation_reason}
            )

        return each(session, sorted(ids), int, one)

    def revert(self, session: Session, actor: Actor, action: str, done: Sequence[Done]) -> list[Result]:
        """Make things what they were before ``action``, unless they have changed since; one result each."""
        other = "restore" if action == "delete" else "delete"

        def one(before: Done) -> Result:
            # Who wrote it reads again what they read before.
            reason = before.previous.get("reason") or actor.reason or f"undo {action}"
            self._step(session, actor, other, before.subject_id, reason, before.version)
            return Result(before.subject_id)

        return each(session, sorted(done, key=lambda before: before.subject_id), lambda before: before.subject_id, one)

    def _step(
        self, session: Session, actor: Actor, action: str, subject_id: int, reason: str, version: int | None
    ) -> Any:
        if action == "delete":
            return self.delete(session, actor, subject_id, reason=reason, expected_version=version)
        return self.restore(session, actor, subject_id, expected_version=version)
