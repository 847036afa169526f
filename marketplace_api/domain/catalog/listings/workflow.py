"""The status of a listing: its workflow table and the one function that moves a listing along it."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database.base import table_of
from marketplace_api.domain.catalog.listings import queries
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.kernel.events import EventType, record
from marketplace_api.domain.kernel.workflow import Reason, Transition, Workflow
from marketplace_api.errors import Conflict
from marketplace_api.models.catalog.listings import Listing

_t = table_of(Listing)


def _step(
    name: str,
    sources: str,
    target: str | None,
    permission: str,
    title: str,
    description: str,
    reason: Reason = Reason.NONE,
) -> Transition:
    return Transition(name, frozenset(sources.split()), target, permission, title, description, reason)


LISTING_WORKFLOW = Workflow(
    name="listing",
    states={
        "draft": "Being written; only its owner and moderators see it.",
        "active": "On offer: found by search and open to all.",
        "inactive": "Taken down by its owner.",
        "sold": "Sold; still open to all by its address, but not found by search.",
        "pending_verification": "Waits for a moderator's decision; not public meanwhile.",
        "rejected": "A moderator did not verify it; `status_reason` says why.",
        "suspended": "Taken down by a moderator; `status_reason` says why.",
    },
    initial=("active", "draft", "inactive"),
    transitions=(
        _step("publish", "draft inactive sold rejected", "active", "listing:publish", "Publish", "Put it on offer."),
        _step(
            "deactivate",
            "active pending_verification",
            "inactive",
            "listing:publish",
            "Deactivate",
            "Take it down for now.",
        ),
        _step("mark-sold", "active inactive", "sold", "listing:publish", "Mark as sold", "It has been sold."),
        _step(
            "submit-for-verification",
            "draft active inactive rejected",
            "pending_verification",
            "listing:submit",
            "Submit for verification",
            "Ask moderators for the badge; the listing is not public until they decide.",
        ),
        _step(
            "verify",
            "pending_verification active",
            "active",
            "listing:moderate",
            "Verify",
            "Give the badge and publish.",
        ),
        _step(
            "reject",
            "pending_verification active",
            "rejected",
            "listing:moderate",
            "Reject",
            "Refuse the badge; the owner reads the reason.",
            Reason.REQUIRED,
        ),
        _step(
            "suspend",
            "draft active inactive sold pending_verification rejected",
            "suspended",
            "listing:moderate",
            "Suspend",
            "Take it down; the owner reads the reason.",
            Reason.REQUIRED,
        ),
        _step(
            "reinstate",
            "suspended",
            None,
            "listing:moderate",
            "Reinstate",
            "Back to what it was before the suspension.",
            Reason.OPTIONAL,
        ),
    ),
)


def possible(row: Any, transition: Transition) -> bool:
    """Whether the state of ``row`` lets the step be taken now."""
    if row.deleted_at is not None or row.status not in transition.sources:
        return False
    if transition.name == "submit-for-verification":
        return not row.is_verified_listing
    if row.status == "active" and transition.name in ("verify", "reject"):
        return row.review_requested_at is not None
    return True


def take(
    session: Session,
    actor: Actor,
    listing_id: int,
    name: str,
    *,
    reason: str | None = None,
    expected_version: int | None = None,
) -> Any:
    """Take the step ``name`` and record it; returns the new row.

    Raises NotFound or Gone, PreconditionFailed when ``expected_version`` is not the present one, and Conflict
    (``wrong_state``) when the step is not possible now.
    """
    row = queries.lock(session, listing_id, expected_version)
    transition = LISTING_WORKFLOW.step(name)
    if not possible(row, transition):
        raise refused(row, name)
    return apply(session, actor, row, transition, reason)


def lock_editable(session: Session, listing_id: int, expected_version: int | None, name: str) -> Any:
    """The row, held for the change ``name`` until the transaction ends; nothing of a suspended listing changes.

    Raises NotFound, Gone, PreconditionFailed, and Conflict (``wrong_state``).
    """
    row = queries.lock(session, listing_id, expected_version)
    if row.status == "suspended":
        raise refused(row, name)
    return row


def refused(row: Any, name: str) -> Conflict:
    return Conflict(
        f"The step `{name}` is not possible while the listing is {row.status.replace('_', ' ')}.",
        code="wrong_state",
        extra={"state": row.status},
        link=f"/api/listings/{row.listing_id}",
    )


def apply(session: Session, actor: Actor, row: Any, transition: Transition, reason: str | None) -> Any:
    """Move the locked ``row``; the caller has checked that the step is possible."""
    statement = sa.update(_t).where(_t.c.listing_id == row.listing_id).returning(*queries.COLUMNS)
    changed = session.execute(statement.values(values_of(transition, reason))).one()
    record(
        session,
        actor,
        EventType.LISTING_STATUS_CHANGED,
        row.listing_id,
        previous={"status": row.status, "is_verified_listing": row.is_verified_listing},
        new={
            "status": changed.status,
            "step": transition.name,
            "reason": reason,
            "is_verified_listing": changed.is_verified_listing,
        },
    )
    return changed


def values_of(transition: Transition, reason: str | None) -> dict[str, Any]:
    """What the step writes into the row of any listing that may take it."""
    return {
        "status": transition.target or _t.c.suspended_from,
        "suspended_from": _t.c.status if transition.target == "suspended" else None,
        "status_reason": reason if transition.name in ("reject", "suspend") else None,
        "date_updated": sa.func.now(),
        "version": _t.c.version + 1,
        **_badge(transition.name),
    }


def _badge(step: str) -> dict[str, Any]:
    """What the step does to the badge and to the moderators' queue."""
    match step:
        case "submit-for-verification":
            return {"review_requested_at": sa.func.now()}
        case "verify":
            return {"is_verified_listing": True, "review_requested_at": None, "verified_price": None}
        case "reject" | "deactivate":
            return {"review_requested_at": None}
    return {}
