"""Who may review what: the one place that decides it, for the form that is offered and for the review that is sent.

The policy today: an active account with a confirmed address reviews once whatever is public, not its own, and not of
somebody who has blocked it; settings may ask for more (``eligibility``). A review that moderators
deleted no longer stands in the way of another one; that deters nobody who writes in good faith, and who does not is
suspended. Deals will be known one day; "only after a deal" then becomes one more fact in :class:`Case` and
one more line in :func:`refusal`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from marketplace_api.domain.catalog.listings import visibility
from marketplace_api.domain.community.reviews.eligibility import Obstacle
from marketplace_api.domain.identity.accounts import errors, queries
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.errors import Conflict, DomainError, Forbidden, NotFound


@dataclass(frozen=True, slots=True)
class Case:
    """What is known when somebody wants to review a listing or a person.

    ``reviewed_id`` is the account that the review is about: the person, or the owner of the listing. ``absence`` says
    why it cannot be reviewed by anyone now; ``standing_review`` is the caller's own that is there already;
    ``obstacle`` is what else stands between the two.
    """

    listing_id: int | None
    reviewee_id: int | None
    reviewed_id: int
    absence: DomainError | None = None
    standing_review: int | None = None
    obstacle: Obstacle | None = None

    def with_obstacle(self, obstacle: Obstacle | None) -> Case:
        return replace(self, obstacle=obstacle)

    def with_review(self, review_id: int | None) -> Case:
        return replace(self, standing_review=review_id)


def of_listing(row: object | None, actor: Actor) -> Case:
    """The case of a listing's row (``listing_id``, ``user_id``, ``is_public``, ``status``, ``deleted_at``, …)."""
    try:
        listing = visibility.require_visible(row, actor)
    except DomainError as absence:
        return Case(getattr(row, "listing_id", 0), None, getattr(row, "user_id", 0), absence)
    closed = (
        None
        if listing.is_public
        else Conflict(
            "Only what is public can be reviewed.",
            "wrong_state",
            extra={"state": listing.status},
            link=f"/api/listings/{listing.listing_id}",
        )
    )
    return Case(listing.listing_id, None, listing.user_id, closed)


def of_person(user_id: int, state: str | None) -> Case:
    """The case of an account; ``state`` is ``None`` where there is none."""
    absence: DomainError | None = None
    if state is None or state == "banned":
        absence = NotFound("There is no such account.")
    elif state not in queries.LIVING:
        absence = errors.gone()
    return Case(None, user_id, user_id, absence)


def may_review(actor: Actor, case: Case) -> bool:
    """Whether ``actor`` may post a review now."""
    return actor.is_active and refusal(actor, case) is None


def refusal(actor: Actor, case: Case) -> DomainError | None:
    """Why ``actor`` may not review; ``None`` if they may."""
    if case.absence is not None:
        return case.absence
    if actor.owns(case.reviewed_id):
        what = "yourself" if case.listing_id is None else "your own listing"
        return Forbidden(f"You cannot review {what}.", "own_review")
    if case.standing_review is not None:
        return Conflict(
            "You have reviewed this already.",
            "already_reviewed",
            extra={"review_id": case.standing_review},
            link=f"/api/reviews/{case.standing_review}",
        )
    return _hindered(case.obstacle) if case.obstacle is not None else None


_HINDERED = {
    Obstacle.BLOCKED: "This person does not take reviews from you.",
    Obstacle.UNCONFIRMED: "Confirm your e-mail address before you write reviews.",
    Obstacle.TOO_NEW: "Your account is not old enough to write reviews yet.",
    Obstacle.NO_CONVERSATION: "Only who exchanged messages with somebody may review them or their listings.",
}


def _hindered(obstacle: Obstacle) -> Forbidden:
    link = "/api/users/me" if obstacle is Obstacle.UNCONFIRMED else None
    return Forbidden(_HINDERED[obstacle], obstacle.value, link=link)
