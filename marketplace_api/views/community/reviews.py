"""Reviews: of listings and people, the reply, and what moderators do about them."""

from __future__ import annotations

from pyramid.request import Request

from marketplace_api.domain.community.reviews import policy, reading, writing
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.hal.community import reviews as represent
from marketplace_api.hal.representation import Representation, message
from marketplace_api.resources.base import Context
from marketplace_api.resources.catalog.listings import ListingContext
from marketplace_api.resources.community.reviews import ReviewContext, ReviewsContext
from marketplace_api.resources.identity.accounts import UserContext
from marketplace_api.schemas.community import reviews as schemas
from marketplace_api.security.permissions import Permission as P
from marketplace_api.views.negotiation import expected_version, page_request
from marketplace_api.views.service import Service

collection = Service("reviews", "/api/reviews", ReviewsContext)
item = Service("review", "/api/reviews/{review_id}", ReviewContext)
replying = Service("review-reply", "/api/reviews/{review_id}/reply", ReviewContext, on="/api/reviews/{review_id}")
of_listing = Service(
    "listing-reviews", "/api/listings/{listing_id}/reviews", ListingContext, on="/api/listings/{listing_id}"
)
of_person = Service("user-reviews", "/api/users/{user_id}/reviews", UserContext, on="/api/users/{user_id}")


def _present(context: ReviewContext | ListingContext, _actor: Actor) -> bool:
    return not context.deleted


def _unanswered(context: ReviewContext, _actor: Actor) -> bool:
    return not context.deleted and context.row.date_replied is None


def _reviewable(context: ReviewsContext, actor: Actor) -> bool:
    page = context.page
    if page is None:
        return True  # the body names the target: the domain decides
    case = _case(page, actor)
    # The queries are only made where all else allows it.
    if not policy.may_review(actor, case):
        return False
    known = case.with_review(page.own_review).with_obstacle(page.review_obstacle)  # type: ignore[attr-defined]
    return policy.may_review(actor, known)


def _case(page: Context, actor: Actor) -> policy.Case:
    if isinstance(page, ListingContext):
        return policy.of_listing(page.row, actor)
    assert isinstance(page, UserContext)
    return policy.of_person(page.row.user_id, page.row.state)


@collection.operation(
    "POST",
    "review",
    P.REVIEW_POST,
    title="Write a review",
    body=schemas.PostReview,
    success=201,
    applies=_reviewable,
    shown_on=(ListingContext, UserContext),
    result="review",
    errors=(404,),
    description="Of exactly one listing or person, once, with a confirmed e-mail address. It cannot be edited afterwards.",
)
def post(request: Request) -> Representation:
    row = writing.post(request.db, request.actor, rules=request.registry.review_rules, **request.validated)
    return represent.review(request.context.child(row))


@item.operation("GET", "read-review", P.REVIEW_READ, title="Read a review", query=schemas.ReadReview, result="review")
def read(request: Request) -> Representation:
    return represent.review(request.context, request.query["fields"], request.query["embed"])


@replying.operation(
    "POST",
    "reply",
    P.REVIEW_REPLY,
    title="Reply",
    body=schemas.Reply,
    applies=_unanswered,
    result="review",
    description="Who was reviewed, or whose listing, answers once.",
)
def reply(request: Request) -> Representation:
    context = request.context
    row = writing.reply(
        request.db,
        request.actor,
        context.row.review_id,
        request.validated["reply"],
        expected_version=expected_version(request),
    )
    return represent.review(context.with_row(row))


@item.operation(
    "PATCH",
    "edit",
    P.REVIEW_MODERATE,
    title="Edit",
    body=schemas.EditReview,
    applies=_present,
    template=True,
    result="review",
    description="For moderators, where a review breaks the rules.",
)
def patch(request: Request) -> Representation:
    changes = dict(request.validated)
    row = writing.edit(
        request.db,
        request.actor,
        request.context.row.review_id,
        reason=changes.pop("reason"),
        changes=changes,
        expected_version=expected_version(request),
    )
    return represent.review(request.context.with_row(row))


@item.operation(
    "DELETE",
    "delete",
    P.REVIEW_MODERATE,
    title="Delete",
    body=schemas.DeleteReview,
    applies=_present,
    result="message",
    description="For moderators, where a review breaks the rules. It counts no more in the rating.",
)
def delete(request: Request) -> Representation:
    writing.delete(
        request.db,
        request.actor,
        request.context.row.review_id,
        reason=request.validated["reason"],
        expected_version=expected_version(request),
    )
    return message("Review deleted", "/api")


@of_listing.operation(
    "GET",
    "listing-reviews",
    P.LISTING_READ,
    title="Reviews of a listing",
    query=schemas.ListReviews,
    applies=_present,
    result="reviews",
)
def list_of_listing(request: Request) -> Representation:
    return _listed(request, "listing_id", request.context.row.listing_id)


@of_person.operation(
    "GET", "user-reviews", P.PROFILE_READ, title="Reviews of a person", query=schemas.ListReviews, result="reviews"
)
def list_of_person(request: Request) -> Representation:
    return _listed(request, "reviewee_id", request.context.row.user_id)


def _listed(request: Request, kind: str, target: int) -> Representation:
    query, context = request.query, request.context
    page, ratings = reading.list_page(request.db, kind, target, page_request(query))
    return represent.reviews(
        request, page, ratings, f"{context.path}/reviews", context, fields=query["fields"], embed=query["embed"]
    )
