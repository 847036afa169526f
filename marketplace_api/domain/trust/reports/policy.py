"""Who may report what: the one place that decides it, for the form that is offered and for the report that is sent.

Whatever an active account can see and did not make itself can be reported, once. A report is no vote: how many
there are about something changes nothing by itself, moderators decide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from marketplace_api.domain.catalog.listings import visibility
from marketplace_api.domain.community.reviews import queries as review_rows
from marketplace_api.domain.identity.accounts import errors
from marketplace_api.domain.identity.accounts.queries import LIVING
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.errors import Conflict, DomainError, Forbidden, Gone, NotFound


@dataclass(frozen=True, slots=True)
class Case:
    """What is known when somebody wants to report something.

    ``reported_id`` is the account that it is about; ``absence`` says why it cannot be reported by this caller at all.
    """

    subject_type: str
    subject_id: int
    reported_id: int
    absence: DomainError | None = None


def of_listing(listing_id: int, row: Any | None, actor: Actor) -> Case:
    """The case of a listing's row (``user_id``, ``is_public``, ``status``, ``deleted_at``, …)."""
    try:
        return Case("listing", listing_id, visibility.require_visible(row, actor).user_id)
    except DomainError as absence:
        return Case("listing", listing_id, 0, absence)


def of_person(user_id: int, state: str | None) -> Case:
    """The case of an account; ``state`` is ``None`` where there is none."""
    absence: DomainError | None = None
    if state is None or state == "banned":
        absence = NotFound("There is no such account.")
    elif state not in LIVING:
        absence = errors.gone()
    return Case("user", user_id, user_id, absence)


def of_message(message_id: int, row: Any | None) -> Case:
    """The case of a message as the caller sees it; ``row`` is ``None`` for all but the two who wrote to each other."""
    if row is None:
        return Case("message", message_id, 0, NotFound("There is no such message."))
    absence = Gone("This message was removed already.") if row.is_removed else None
    return Case("message", message_id, row.sender_id, absence)


def of_review(review_id: int, row: Any | None, actor: Actor) -> Case:
    """The case of a review's row (``reviewer_id``, ``reviewed_id``, ``target_is_public``, ``deleted_at``)."""
    absent = NotFound("There is no such review.")
    if row is None:
        return Case("review", review_id, 0, absent)
    concerned = actor.moderates or actor.owns(row.reviewer_id) or actor.owns(row.reviewed_id)
    absence: DomainError | None = None if row.target_is_public or concerned else absent
    if row.deleted_at is not None and absence is None:
        absence = review_rows.gone()
    return Case("review", review_id, row.reviewer_id, absence)


def may_report(actor: Actor, case: Case) -> bool:
    """Whether ``actor`` may report it, unless that was done before."""
    return actor.is_active and refusal(actor, case) is None


def refusal(actor: Actor, case: Case) -> DomainError | None:
    """Why ``actor`` may not report it; ``None`` if they may, unless that was done before."""
    if case.absence is not None:
        return case.absence
    if actor.owns(case.reported_id):
        what = "yourself" if case.subject_type == "user" else "what is yours"
        return Forbidden(f"You cannot report {what}.", "own_report")
    return None


def already_reported(report_id: int) -> Conflict:
    return Conflict(
        "You have reported this already.",
        "already_reported",
        extra={"report_id": report_id},
        link=f"/api/reports/{report_id}",
    )
