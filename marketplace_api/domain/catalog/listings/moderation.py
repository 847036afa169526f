"""What a moderator does to a listing by its id alone: the moderators' steps of the workflow, deletion, restoring."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy.orm import Session

from marketplace_api.domain.catalog.listings import editing, queries, workflow
from marketplace_api.domain.catalog.listings.workflow import LISTING_WORKFLOW
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.kernel.workflow import Reason
from marketplace_api.errors import FieldError, Forbidden, Invalid, NotFound

STEPS = tuple(step.name for step in LISTING_WORKFLOW if step.permission == "listing:moderate")
ACTIONS = (*STEPS, "delete", "restore")


def needs_reason(action: str) -> bool:
    """Whether ``action``, one of :data:`ACTIONS`, cannot be taken without saying why."""
    return action in STEPS and LISTING_WORKFLOW.step(action).reason is Reason.REQUIRED


def moderate(session: Session, actor: Actor, action: str, listing_id: int, *, reason: str | None = None) -> Any:
    """Take ``action``, one of :data:`ACTIONS`; returns the listing's new row.

    Raises NotFound, Gone, Forbidden for who does not moderate and for one's own listing, Invalid without the reason
    that the step asks for, and Conflict ``wrong_state`` when it is not possible now.
    """
    if not actor.moderates:
        raise Forbidden("Only moderators may do this.")
    if reason is None and needs_reason(action):
        message = "Say why; the owner reads it."
        raise Invalid(message, errors=[FieldError("body", "reason", "required", message)])
    row = queries.find(session, listing_id)
    if row is None:
        raise NotFound("There is no such listing.")
    if actor.owns(row.user_id):
        raise Forbidden("Nobody decides on their own listing.")
    witness = replace(actor, reason=reason)
    if action == "delete":
        editing.delete(session, witness, listing_id)
    elif action == "restore":
        editing.restore(session, witness, listing_id)
    else:
        workflow.take(session, witness, listing_id, action, reason=reason)
    return queries.find(session, listing_id)
