"""Moderation of many reported messages at once: removed, restored, and put back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy.orm import Session

from marketplace_api.domain.actors import Actor
from marketplace_api.domain.conversations import removing
from marketplace_api.domain.moderation.one_by_one import each
from marketplace_api.domain.moderation.results import Done, Result

ACTIONS = ("delete", "restore")


def act(session: Session, actor: Actor, action: str, reason: str, ids: Sequence[int]) -> list[Result]:
    """Do ``action``, one of :data:`ACTIONS`, to each of these messages that it may be done to; one result each."""

    def one(message_id: int) -> Result:
        row = _step(session, actor, action, message_id, reason, None)
        return Result(message_id, row.version, {"is_deleted": action == "restore"})

    return each(session, sorted(ids), int, one)


def put_back(session: Session, actor: Actor, action: str, done: Sequence[Done]) -> list[Result]:
    """Make messages what they were before ``action``, unless they have changed since; one result each."""
    other = "restore" if action == "delete" else "delete"

    def one(before: Done) -> Result:
        _step(session, actor, other, before.subject_id, actor.reason or f"undo {action}", before.version)
        return Result(before.subject_id)

    return each(session, sorted(done, key=lambda before: before.subject_id), lambda before: before.subject_id, one)


def _step(session: Session, actor: Actor, action: str, message_id: int, reason: str, version: int | None) -> Any:
    if action == "delete":
        return removing.remove(session, actor, message_id, reason=reason, expected_version=version)
    return removing.restore(session, actor, message_id, expected_version=version)
