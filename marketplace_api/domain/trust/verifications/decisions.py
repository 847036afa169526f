"""Decisions about verifications, and their expiry. The account's ``is_verified`` follows, in the same transaction.

Whoever changes where a verification stands locks the account first, so that decisions, expiry, erasure and new
submissions of one account come one after the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database.base import table_of
from marketplace_api.domain.identity.accounts.queries import lock_user
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.kernel.events import EventType, record
from marketplace_api.domain.kernel.workflow import Transition
from marketplace_api.domain.trust.verifications import queries, workflow
from marketplace_api.errors import FieldError, Forbidden, Invalid
from marketplace_api.models.identity.accounts import User
from marketplace_api.models.trust.verifications import Verification

_t = table_of(Verification)
_v = _t.c

_DUE = (
    sa.select(_v.verification_id, _v.user_id)
    .where(_v.status == sa.literal_column("'approved'"), _v.expires_at <= sa.bindparam("now", type_=_v.expires_at.type))
    .order_by(_v.expires_at)
    .limit(sa.bindparam("most", type_=sa.Integer))
)


def approve(
    session: Session,
    actor: Actor,
    verification_id: int,
    *,
    expires_at: datetime | None = None,
    expected_version: int | None = None,
) -> Any:
    """The account is verified, until ``expires_at`` (aware) or for good; returns the row.

    Raises NotFound, PreconditionFailed, Forbidden for one's own, Conflict ``wrong_state`` unless it is pending, and
    Invalid for a time that has passed.
    """
    user, row, step, now = _held(session, actor, verification_id, "approve", expected_version)
    if expires_at is not None and expires_at <= now:
        error = FieldError("body", "expires_at", "in_the_past", "This time has passed; name a later one.")
        raise Invalid(f"expires_at: {error.message}", errors=[error])
    values = {"expires_at": expires_at, "date_decided": now, "decided_by": actor.user_id}
    told = {"date_decided": now.isoformat(), "expires_at": expires_at.isoformat() if expires_at else None}
    return _move(session, actor, user, row, step, values, (EventType.VERIFICATION_APPROVED, told))


def reject(
    session: Session, actor: Actor, verification_id: int, *, reason: str, expected_version: int | None = None
) -> Any:
    """The document does not convince; its owner reads the ``reason``. Returns the row.

    Raises NotFound, PreconditionFailed, Forbidden for one's own, and Conflict ``wrong_state`` unless it is pending.
    """
    user, row, step, now = _held(session, actor, verification_id, "reject", expected_version)
    values = {"reason": reason, "date_decided": now, "decided_by": actor.user_id}
    told = {"date_decided": now.isoformat()}
    judge = replace(actor, reason=reason)
    return _move(session, judge, user, row, step, values, (EventType.VERIFICATION_REJECTED, told))


def expire(session: Session, actor: Actor, verification_id: int) -> Any:
    """End an approval before its time, as of now: the account is not verified any more. Returns the row.

    Raises NotFound, Forbidden for one's own, and Conflict ``wrong_state`` unless it is approved.
    """
    user, row, step, now = _held(session, actor, verification_id, "expire", None)
    ended = now if row.expires_at is None else min(row.expires_at, now)
    told = {"expires_at": ended.isoformat()}
    return _move(session, actor, user, row, step, {"expires_at": ended}, (EventType.VERIFICATION_EXPIRED, told))


def expire_due(session: Session, now: datetime, limit: int = 100) -> int:
    """End up to ``limit`` approvals whose time was over at ``now`` (aware); returns how many, for the caller to commit.

    For a periodic job; several may run at once, and beside decisions and erasures.
    """
    due = session.execute(_DUE, {"now": now, "most": limit}).all()
    # In one order, so that two of us never wait for each other in a circle.
    for verification_id, user_id in sorted(due, key=lambda found: found.user_id):
        user, _ = lock_user(session, user_id)
        row = queries.find(session, verification_id)
        if row is None or row.expires_at is None or not workflow.possible(row.status, "expire"):
            continue  # erased, or ended by another of us
        step = workflow.VERIFICATION_WORKFLOW.step("expire")
        told = {"expires_at": row.expires_at.isoformat()}
        _move(session, Actor(username="expiry"), user, row, step, {}, (EventType.VERIFICATION_EXPIRED, told))
    return len(due)


def _held(
    session: Session, actor: Actor, verification_id: int, step: str, expected_version: int | None
) -> tuple[User, Any, Transition, datetime]:
    """Account and verification, locked in this order, the step to take, and the time by the database (UTC)."""
    found = queries.find(session, verification_id)
    if found is None:
        raise queries.absent()
    user, now = lock_user(session, found.user_id)
    row = queries.lock(session, verification_id, expected_version)
    if actor.owns(row.user_id):
        raise Forbidden("Nobody decides about their own verification.")
    link = f"/api/moderation/verifications/{verification_id}"
    return user, row, workflow.require_possible(row.status, step, link), now


def _move(
    session: Session,
    actor: Actor,
    user: User,
    row: Any,
    step: Transition,
    values: Mapping[str, Any],
    event: tuple[EventType, Mapping[str, Any]],
) -> Any:
    """Take the step with the locked rows of account and verification, and record it."""
    statement = sa.update(_t).where(_v.verification_id == row.verification_id)
    session.execute(statement.values(**values, status=step.target, version=_v.version + 1))
    # As with ratings, the account's own version stays: nobody edited it.
    user.is_verified = step.target == "approved"
    type, told = event
    new = {"user_id": row.user_id, **told}
    record(session, actor, type, row.verification_id, previous={"status": row.status}, new=new)
    return queries.find(session, row.verification_id)
