"""Reviews as they go out: one, and the reviews of a listing or a person with their ratings."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pyramid.request import Request

from marketplace_api.domain.community.reviews.reading import Ratings
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.kernel.paging import Page
from marketplace_api.domain.trust.reports import queries as report_rows
from marketplace_api.hal.identity import accounts
from marketplace_api.hal.paging import collection
from marketplace_api.hal.registry import represents
from marketplace_api.hal.representation import HAL_FORMS, Links, Representation, link
from marketplace_api.resources.base import Context
from marketplace_api.resources.community.reviews import ReviewContext


@represents(ReviewContext)
def review(context: ReviewContext, fields: Collection[str] = (), embed: Collection[str] = ()) -> Representation:
    """One review as its context holds it."""
    row = context.row
    authors = accounts.public_users(context.request, [row.reviewer_id]) if "reviewer" in embed else {}
    shown = _review(row, context.request.actor, context, fields, authors)
    shown.version = row.version
    shown.last_modified = row.date_updated
    shown.is_public = True
    return shown


def reviews(
    request: Request,
    page: Page,
    ratings: Ratings,
    path: str,
    up: Context,
    *,
    fields: Collection[str] = (),
    embed: Collection[str] = (),
) -> Representation:
    """One page of the reviews of what ``up`` stands for, with its ratings."""
    extra = {
        "rating_average": ratings.average,
        "rating_count": ratings.count,
        "histogram": {str(stars): number for stars, number in enumerate(ratings.histogram, 1)},
    }
    items = review_items(request, page.items, fields, embed)
    shown = collection(request, "reviews", items, page, path, is_public=True, extra=extra)
    shown.links["up"] = link(up.path)
    return shown


def review_items(
    request: Request, rows: Sequence[Any], fields: Collection[str] = (), embed: Collection[str] = ()
) -> list[Representation]:
    """Reviews as parts of another representation."""
    with_forms = request.media == HAL_FORMS
    authors = accounts.public_users(request, {row.reviewer_id for row in rows}) if "reviewer" in embed else {}
    contexts = [ReviewContext(request, None, str(row.review_id), row) if with_forms else None for row in rows]
    if with_forms and request.actor.user_id is not None:
        reported = report_rows.reported_by(request.db, request.actor.user_id, "review", [row.review_id for row in rows])
        for context in filter(None, contexts):
            context.reported = context.row.review_id in reported
    return [_review(row, request.actor, context, fields, authors) for row, context in zip(rows, contexts, strict=True)]


def _review(
    row: Any,
    actor: Actor,
    context: ReviewContext | None,
    fields: Collection[str],
    authors: Mapping[int, Representation],
) -> Representation:
    values = _state(row, actor)
    kept = {"review_id", *fields} if fields else values.keys()
    state = {name: value for name, value in values.items() if name in kept}
    embedded = {"reviewer": authors[row.reviewer_id]} if row.reviewer_id in authors else {}
    return Representation(state, _links(row), embedded, context=context, values=values)


def _state(row: Any, actor: Actor) -> dict[str, Any]:
    """Every field that ``actor`` may see."""
    state = {
        "review_id": row.review_id,
        "listing_id": row.listing_id,
        "reviewee_id": row.reviewee_id,
        "reviewer_id": row.reviewer_id,
        "reviewer_username": row.reviewer_username,
        "rating": row.rating,
        "comment": row.comment,
        "date_posted": row.date_posted,
        "date_updated": row.date_updated,
        "reply": row.reply,
        "date_replied": row.date_replied,
        "status": "published" if row.deleted_at is None else "deleted",
        "is_moderated": row.moderation_reason is not None,
    }
    if actor.moderates or actor.owns(row.reviewer_id) or actor.owns(row.reviewed_id):
        state["moderation_reason"] = row.moderation_reason
    return state


def _links(row: Any) -> Links:
    """What is gone or not public has no link."""
    links: Links = {"self": link(f"/api/reviews/{row.review_id}")}
    if row.reviewer_username is not None:
        links["author"] = link(f"/api/users/{row.reviewer_id}")
    if row.target_is_public:
        target = f"/api/users/{row.reviewee_id}" if row.listing_id is None else f"/api/listings/{row.listing_id}"
        links["mkt:reviewee" if row.listing_id is None else "mkt:listing"] = link(target)
        links["collection"] = link(f"{target}/reviews")
    return links
