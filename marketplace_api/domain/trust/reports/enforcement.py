"""Resolving a report together with what is done about its subject: both or neither."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy.orm import Session

from marketplace_api.domain.catalog.listings import editing
from marketplace_api.domain.catalog.listings import workflow as listings
from marketplace_api.domain.community.reviews import writing
from marketplace_api.domain.identity.accounts import lifecycle
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.trust.moderation import messages
from marketplace_api.domain.trust.reports import workflow
from marketplace_api.domain.trust.reports.workflow import Decision
from marketplace_api.errors import FieldError, Invalid

Act = Callable[[Session, Actor, int, str], Any]


def _suspend_listing(session: Session, actor: Actor, listing_id: int, reason: str) -> None:
    listings.take(session, actor, listing_id, "suspend", reason=reason)


def _delete_listing(session: Session, actor: Actor, listing_id: int, reason: str) -> None:
    editing.delete(session, replace(actor, reason=reason), listing_id)


def _suspend_user(session: Session, actor: Actor, user_id: int, reason: str) -> None:
    lifecycle.suspend(session, actor, user_id, reason=reason)


def _ban_user(session: Session, actor: Actor, user_id: int, reason: str) -> None:
    lifecycle.ban(session, actor, user_id, reason=reason)


def _delete_message(session: Session, actor: Actor, message_id: int, reason: str) -> None:
    messages.remove(session, actor, message_id, reason=reason)


def _delete_review(session: Session, actor: Actor, review_id: int, reason: str) -> None:
    writing.delete(session, actor, review_id, reason=reason)


ACTIONS: Mapping[str, Mapping[str, Act]] = {
    "listing": {"suspend": _suspend_listing, "delete": _delete_listing},
    "user": {"suspend": _suspend_user, "ban": _ban_user},
    "message": {"delete": _delete_message},
    "review": {"delete": _delete_review},
}
"""What can be done about the subjects of reports, by their type."""


def resolve(
    session: Session, actor: Actor, report_id: int, action: str, *, reason: str, also_same_subject: bool = False
) -> Decision:
    """Do ``action`` to what the report is about, and resolve it; the ``reason`` is told to those concerned by either.

    Raises as ``workflow.decide`` does, Invalid for an action that the subject does not know, and whatever the action
    itself raises: Gone or Conflict where that was done before, for example.
    """
    decision = workflow.decide(session, actor, report_id, "resolve", reason=reason, also_same_subject=also_same_subject)
    subject_type = decision.row.subject_type
    act = ACTIONS[subject_type].get(action)
    if act is None:
        message = f"A {subject_type} cannot be treated so: {action}. Possible: {', '.join(ACTIONS[subject_type])}."
        raise Invalid(message, errors=[FieldError("body", "action", "not_allowed", message)])
    act(session, actor, decision.row.subject_id, reason)
    return decision
