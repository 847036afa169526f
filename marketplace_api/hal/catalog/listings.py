"""Listings as they go out: whole, in lists, with what the caller may see and do."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from pyramid.request import Request

from marketplace_api.domain.catalog import bookmarks
from marketplace_api.domain.community.conversations import policy as message_policy
from marketplace_api.domain.community.reviews import queries as review_rows
from marketplace_api.domain.community.reviews import reading as review_reading
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.kernel.paging import Page
from marketplace_api.domain.trust.reports import queries as report_rows
from marketplace_api.hal.catalog import photos as catalog_photos
from marketplace_api.hal.community import reviews
from marketplace_api.hal.identity import accounts
from marketplace_api.hal.paging import collection
from marketplace_api.hal.registry import added_links, represents
from marketplace_api.hal.representation import HAL_FORMS, Link, Representation, link
from marketplace_api.resources.base import Context
from marketplace_api.resources.catalog.listings import ListingContext
from marketplace_api.schemas.catalog.listings import LONGEST_SUGGESTED

_COLLECTION = link("/api/listings")
_MARKS = frozenset({"bookmarked", "bookmark_count"})


@represents(ListingContext)
def listing(context: ListingContext, fields: Collection[str] = (), embed: Collection[str] = ()) -> Representation:
    """One listing as its context holds it."""
    request = context.request
    owners = accounts.public_users(request, [context.row.user_id]) if "owner" in embed else {}
    marks = _marks(request, [context.row], fields, [context])
    shown = _listing(context.row, request.actor, context, fields, owners=owners, marks=marks)
    if "reviews" in embed:
        latest = review_reading.latest(request.db, context.row.listing_id)
        shown.embedded = {**shown.embedded, "reviews": reviews.review_items(request, latest)}
    if not fields or "photos" in fields or "photos" in embed:
        parts = catalog_photos.photos_of(request, [context.row], [context])
        shown.embedded = {**shown.embedded, "photos": parts[context.row.listing_id]}
    shown.links["collection"] = _COLLECTION
    if not context.deleted:
        shown.links["mkt:photos"] = link(f"{context.path}/photos")
        if context.row.has_video:
            shown.links["mkt:video"] = link(f"{context.path}/video")
        shown.links["mkt:reviews"] = link(f"{context.path}/reviews")
    shown.links |= added_links(context)
    shown.version = context.row.version
    shown.last_modified = context.row.date_updated
    shown.is_public = True
    return shown


def listings(
    request: Request,
    page: Page,
    path: str,
    *,
    fields: Collection[str] = (),
    embed: Collection[str] = (),
    context: Context | None = None,
    is_public: bool = False,
) -> Representation:
    """One page of listings under ``path``; ``context`` is what the page's own forms belong to."""
    shown = items(request, page.items, fields, embed)
    return collection(request, "listings", shown, page, path, context=context, is_public=is_public)


def suggestions_link(page: Page, words: str | None) -> dict[str, Link]:
    """Where to look for what may have been meant: on the page of a search for words that found nothing."""
    if page.total or page.items or not words:
        return {}
    query = urlencode({"query": words[:LONGEST_SUGGESTED]})
    return {"mkt:suggestions": link(f"/api/search/suggestions?{query}", title="Did you mean?")}


def items(
    request: Request, rows: Sequence[Any], fields: Collection[str] = (), embed: Collection[str] = ()
) -> list[Representation]:
    """Listings as parts of another representation."""
    with_forms = request.media == HAL_FORMS
    owners = accounts.public_users(request, {row.user_id for row in rows}) if "owner" in embed else {}
    contexts = [_context(request, row) for row in rows] if with_forms else [None] * len(rows)
    marks = _marks(request, rows, fields, contexts)
    shown = [
        _listing(row, request.actor, context, fields, owners=owners, marks=marks)
        for row, context in zip(rows, contexts, strict=True)
    ]
    if "photos" in fields or "photos" in embed:
        photos = catalog_photos.photos_of(request, rows, contexts)
        for row, item in zip(rows, shown, strict=True):
            item.embedded = {**item.embedded, "photos": photos[row.listing_id]}
    return shown


def _marks(
    request: Request, rows: Sequence[Any], fields: Collection[str], contexts: Sequence[ListingContext | None]
) -> Mapping[int, Any]:
    """What a known caller is told of bookmarks, for all ``rows`` at once.

    What is offered depends on it, on the caller's reviews and reports, on what keeps them from reviewing and on who takes messages from the caller, so
    ``contexts`` come to know all five.
    """
    actor = request.actor
    with_forms = request.media == HAL_FORMS
    if actor.user_id is None or (fields and not with_forms and _MARKS.isdisjoint(fields)):
        return {}
    marks = bookmarks.marks(request.db, actor, rows)
    if with_forms:
        ids = [row.listing_id for row in rows]
        reviewed = review_rows.standing(request.db, actor.user_id, "listing_id", ids)
        reported = report_rows.reported_by(request.db, actor.user_id, "listing", ids)
        owners = {row.user_id for row in rows}
        reachable = message_policy.reachable(request.db, actor, owners)
        obstacles = review_rows.obstacles(request.db, actor, request.registry.review_rules, owners)
        for context in filter(None, contexts):
            is_open = message_policy.may_mention(context.row, actor)
            context.can_message = is_open and context.row.user_id in reachable
            context.bookmarked = marks[context.row.listing_id].bookmarked
            context.reported = context.row.listing_id in reported
            context.own_review = reviewed.get(context.row.listing_id)
            context.review_obstacle = obstacles.get(context.row.user_id)
    return marks


def _context(request: Request, row: Any) -> ListingContext:
    context = ListingContext(request, None, str(row.listing_id), row)
    context.path = f"/api/listings/{row.listing_id}"
    return context


def _listing(
    row: Any,
    actor: Actor,
    context: ListingContext | None,
    fields: Collection[str],
    *,
    owners: Mapping[int, Representation],
    marks: Mapping[int, Any],
) -> Representation:
    values = _state(row, actor, marks.get(row.listing_id))
    state = (
        {name: value for name, value in values.items() if name in fields or name == "listing_id"} if fields else values
    )
    path = f"/api/listings/{row.listing_id}"
    owner = f"/api/users/{row.user_id}"
    embedded = {"owner": owners[row.user_id]} if row.user_id in owners else {}
    return Representation(
        state, {"self": link(path), "mkt:owner": link(owner)}, embedded, context=context, values=values
    )


def _state(row: Any, actor: Actor, mark: Any | None) -> dict[str, Any]:
    """Every field that ``actor`` may see."""
    in_full = actor.user_id is not None and (actor.user_id == row.user_id or actor.moderates)
    state = {
        "listing_id": row.listing_id,
        "user_id": row.user_id,
        "title": row.title,
        "description": row.description,
        "category": row.category,
        "price": float(row.price),
        "currency": row.currency,
        "location": _location(row, in_full),
        "photos_urls": row.photos_urls,
        "status": "deleted" if row.deleted_at is not None else row.status,
        "date_created": row.date_created,
        "date_updated": row.date_updated,
        "is_verified_listing": row.is_verified_listing,
        "amenities": row.amenities,
        "rating_average": round(row.rating_sum / row.rating_count, 2) if row.rating_count else None,
        "rating_count": row.rating_count,
    }
    if in_full:
        state["status_reason"] = row.status_reason
    if mark is not None:
        state["bookmarked"] = mark.bookmarked
        if in_full:
            state["bookmark_count"] = mark.bookmark_count
    distance = getattr(row, "distance_km", None)
    if distance is not None:
        state["distance_km"] = round(distance, 1)
    return state


def _location(row: Any, in_full: bool) -> dict[str, Any]:
    """Strangers get no address, and coordinates rounded to about 1 km."""
    latitude, longitude = row.latitude, row.longitude
    if latitude is not None:
        if not in_full:
            latitude, longitude = round(latitude, 2), round(longitude, 2)
        latitude, longitude = float(latitude), float(longitude)
    place = {
        "city": row.city,
        "state": row.state,
        "zip": row.zip,
        "country": row.country,
        "latitude": latitude,
        "longitude": longitude,
        "is_approximate": not in_full,
    }
    if in_full:
        place["address"] = row.address
    return place
