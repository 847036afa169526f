"""Writing reviews: posting, replying, and the moderators' editing and deleting, each with its event.

Events name ids and the rating, never what was written: the log outlives both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.domain.catalog.listings import queries as listing_rows
from marketplace_api.domain.community.conversations.send import lock_pair
from marketplace_api.domain.community.reviews import policy, queries
from marketplace_api.domain.community.reviews.eligibility import NOTHING_MORE, ReviewRules
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.kernel.events import EventType, record
from marketplace_api.errors import Conflict, Forbidden
from marketplace_api.models.community.reviews import Review
from marketplace_api.models.identity.accounts import User


def post(
    session: Session,
    actor: Actor,
    *,
    rating: int,
    comment: str,
    listing_id: int | None = None,
    reviewee_id: int | None = None,
    rules: ReviewRules = NOTHING_MORE,
) -> Any:
    """A new review by ``actor`` of a listing or of a person (one of the two); returns its row.

    Raises NotFound or Gone for a target that is not (or no longer) there, Forbidden ``own_review`` or the code of an
    ``eligibility.Obstacle``, and Conflict
    ``already_reviewed`` or ``wrong_state``.
    """
    queries.lock_target(
        session, listing_id, reviewee_id
    )  # from here on it cannot be deleted, nor reviewed a second time
    case = _case(session, actor, rules, listing_id, reviewee_id)
    refused = policy.refusal(actor, case)
    if refused is not None:
        raise refused
    review = Review(
        reviewer_id=actor.user_id, listing_id=listing_id, reviewee_id=reviewee_id, rating=rating, comment=comment
    )
    session.add(review)
    session.flush()
    return _event_data(session, actor, EventType.REVIEW_POSTED, review.review_id)


def _case(
    session: Session, actor: Actor, rules: ReviewRules, listing_id: int | None, reviewee_id: int | None
) -> policy.Case:
    if listing_id is not None:
        case = policy.of_listing(listing_rows.find(session, listing_id), actor)
    else:
        state = sa.select(User.state).where(User.user_id == reviewee_id)
        case = policy.of_person(reviewee_id or 0, session.execute(state).scalar())
    kind, target = ("listing_id", listing_id) if listing_id is not None else ("reviewee_id", reviewee_id)
    if case.absence is None and not actor.owns(case.reviewed_id):
        # A block that is just being made is waited for.
        lock_pair(session, actor.user_id or 0, case.reviewed_id)
        found = queries.obstacles(session, actor, rules, [case.reviewed_id])
        case = case.with_obstacle(found.get(case.reviewed_id))
    return case.with_review(queries.standing(session, actor.user_id or 0, kind, [target or 0]).get(target or 0))


def reply(session: Session, actor: Actor, review_id: int, text: str, *, expected_version: int | None = None) -> Any:
    """The one answer of the side that was reviewed; returns the row.

    Raises NotFound, Gone, PreconditionFailed, Forbidden for others, and Conflict for a second answer.
    """
    row = queries.lock(session, review_id, expected_version, with_target=False)
    if not actor.owns(row.reviewed_id):
        raise Forbidden("Only who was reviewed may reply.")
    if row.date_replied is not None:
        raise already_replied(review_id)
    _change(session, review_id, {"reply": text, "date_replied": sa.func.now()})
    return _event_data(session, actor, EventType.REVIEW_REPLIED, review_id)


def already_replied(review_id: int) -> Conflict:
    return Conflict(
        "There is a reply already, and there can be only one.",
        "wrong_state",
        extra={"state": "replied"},
        link=f"/api/reviews/{review_id}",
    )


def edit(
    session: Session,
    actor: Actor,
    review_id: int,
    *,
    changes: Mapping[str, Any],
    reason: str,
    expected_version: int | None = None,
) -> Any:
    """Bring a review into line with the rules: ``rating``, ``comment``, ``reply`` (``None`` takes a reply away).

    ``reason`` is told to those concerned. What changes nothing leaves no trace. A reply that was taken away was
    the one reply all the same. Returns the row. Raises NotFound, Gone, PreconditionFailed, and Conflict for a
    reply where there never was one.
    """
    row = queries.lock(session, review_id, expected_version, with_target=True)
    changed = {name: value for name, value in changes.items() if getattr(row, name) != value}
    if not changed:
        return row
    if changed.get("reply") is not None and row.date_replied is None:
        link = f"/api/reviews/{review_id}"
        raise Conflict("There is no reply to edit.", "wrong_state", extra={"state": "unanswered"}, link=link)
    _change(session, review_id, {**changed, "moderation_reason": reason})
    return _event_data(
        session,
        replace(actor, reason=reason),
        EventType.REVIEW_EDITED,
        review_id,
        previous={"rating": row.rating},
        more={"fields": sorted(changed)},
    )


def delete(session: Session, actor: Actor, review_id: int, *, reason: str, expected_version: int | None = None) -> Any:
    """Take a review out of sight and out of the rating; its author reads the ``reason``. Returns its row.

    Raises NotFound, Forbidden for who wrote it or was reviewed, Gone, PreconditionFailed.
    """
    _require_other(session, actor, review_id)
    queries.lock(session, review_id, expected_version, with_target=True)
    _change(session, review_id, {"deleted_at": sa.func.now(), "moderation_reason": reason})
    there, gone = {"status": "published"}, {"status": "deleted"}
    told = replace(actor, reason=reason)
    return _event_data(session, told, EventType.REVIEW_DELETED, review_id, previous=there, more=gone)


def restore(session: Session, actor: Actor, review_id: int, *, expected_version: int | None = None) -> Any:
    """Bring a deleted review back, into sight and into the rating; returns its row.

    Raises NotFound, Forbidden for who wrote it or was reviewed, PreconditionFailed, and Conflict where it is there or its
    author has written another one since.
    """
    _require_other(session, actor, review_id)
    row = queries.lock(session, review_id, expected_version, with_target=True, deleted=True)
    kind = "listing_id" if row.listing_id is not None else "reviewee_id"
    target = getattr(row, kind)
    if target in queries.standing(session, row.reviewer_id, kind, [target]):
        raise superseded()
    _change(session, review_id, {"deleted_at": None, "moderation_reason": None})
    there, gone = {"status": "published"}, {"status": "deleted"}
    return _event_data(session, actor, EventType.REVIEW_RESTORED, review_id, previous=gone, more=there)


def concerned() -> Forbidden:
    return Forbidden("Others decide on a review that you wrote, or that is about you.")


def _require_other(session: Session, actor: Actor, review_id: int) -> None:
    row = queries.find(session, review_id)
    if row is not None and (actor.owns(row.reviewer_id) or actor.owns(row.reviewed_id)):
        raise concerned()


def superseded() -> Conflict:
    return Conflict("Its author has written another one since.", "already_reviewed")


def _change(session: Session, review_id: int, values: Mapping[str, Any]) -> None:
    statement = sa.update(Review).where(Review.review_id == review_id)
    session.execute(
        statement.values(**values, date_updated=sa.func.now(), version=Review.version + 1),
        execution_options={"synchronize_session": False},
    )


def _event_data(
    session: Session,
    actor: Actor,
    type: EventType,
    review_id: int,
    *,
    previous: Mapping[str, Any] | None = None,
    more: Mapping[str, Any] | None = None,
) -> Any:
    """Record what happened to the review; returns its row as it is now."""
    row: Any = queries.find(session, review_id)
    ids = {name: getattr(row, name) for name in ("listing_id", "reviewee_id", "reviewer_id", "rating")}
    record(session, actor, type, review_id, previous=previous, new={**ids, "owner_id": row.reviewed_id, **(more or {})})
    return row
