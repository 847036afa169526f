"""Moderation of many accounts at once: suspended, reinstated, banned, and put back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database.base import table_of
from marketplace_api.database.prepared import Reader
from marketplace_api.domain.identity.accounts import admins, lifecycle, queries
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.trust.moderation.results import Done, PreviewCounts, Result, count_preview
from marketplace_api.domain.trust.moderation.savepoints import each
from marketplace_api.errors import DomainError
from marketplace_api.models.identity.accounts import User

_STEPS: Mapping[str, Callable[..., User]] = {
    "suspend": lifecycle.suspend,
    "reinstate": lifecycle.reinstate,
    "ban": lifecycle.ban,
}
ACTIONS = tuple(_STEPS)

_u = table_of(User).c


def act(session: Session, actor: Actor, action: str, reason: str, ids: Sequence[int]) -> list[Result]:
    """Do ``action``, one of :data:`ACTIONS`, to each of these accounts that it may be done to; one result each."""

    def one(user_id: int) -> Result:
        user, _ = queries.lock_user(session, user_id)
        previous = _kept(user)
        changed = _STEPS[action](session, actor, user_id, reason=reason)
        return Result(user_id, changed.version, previous)

    admins.take_turns(session, ids)
    # In one order, so that two that work on the same accounts wait for each other instead of in a circle.
    return each(session, sorted(ids), int, one)


def preview(db: Reader, actor: Actor, action: str, clause: sa.ColumnElement[bool]) -> PreviewCounts:
    """What :func:`act` would come to for the accounts of ``clause``: they fall into few groups that are treated alike."""
    alike = (_u.state, _u.roles, _u.user_id.is_not_distinct_from(actor.user_id))
    columns = (_u.state, _u.roles, sa.func.max(_u.user_id).label("user_id"), sa.func.count().label("number"))
    groups = db.execute(sa.select(*columns).where(clause).group_by(*alike)).all()
    found = count_preview(groups, lambda group: _detail(lifecycle.refused(actor, group, action)))
    return found if action == "reinstate" else _without_last_admin(db, actor, action, groups, found)


def _without_last_admin(
    db: Reader, actor: Actor, action: str, groups: Sequence[Any], found: PreviewCounts
) -> PreviewCounts:
    """The last active admin is kept from being judged, whichever of them that is."""
    judged = [group for group in groups if lifecycle.refused(actor, group, action) is None]
    active = sum(group.number for group in judged if admins.is_active(group))
    if not active or active < admins.count(db):
        return found
    kept = admins.last_admin().detail
    return {reason: number for reason, number in {**found, None: found[None] - 1, kept: 1}.items() if number}


def _detail(refusal: DomainError | None) -> str | None:
    return refusal.detail if refusal is not None else None


def revert(session: Session, actor: Actor, action: str, done: Sequence[Done]) -> list[Result]:
    """Make accounts what they were before ``action``, unless they have changed since; sessions that ended stay so."""

    def one(before: Done) -> Result:
        user, _ = queries.lock_user(session, before.subject_id)
        if user.version != before.version:
            return before.changed_since()
        previous = dict(before.previous)
        until = previous.pop("suspended_until")
        told = replace(actor, reason=actor.reason or f"undo {action}")
        lifecycle.revert(session, told, user, until=until and datetime.fromisoformat(until), **previous)
        return Result(before.subject_id)

    admins.take_turns(session, [before.subject_id for before in done])
    return each(session, sorted(done, key=lambda before: before.subject_id), lambda before: before.subject_id, one)


def _kept(user: User) -> dict[str, Any]:
    until = user.suspended_until
    return {"state": user.state, "reason": user.state_reason, "suspended_until": until.isoformat() if until else None}
