"""Listings as they go out: whole, in lists, with what the caller may see and do."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from pyramid.request import Request

from marketplace_api.domain.actors import Actor
from marketplace_api.domain.paging import Page
from marketplace_api.hal import accounts
from marketplace_api.hal.paging import collection
from marketplace_api.hal.registry import represents
from marketplace_api.hal.representation import HAL_FORMS, Representation, link
from marketplace_api.resources.base import Context
from marketplace_api.resources.listings import ListingContext

_COLLECTION = link("/api/listings")


@represents(ListingContext)
def listing(context: ListingContext, fields: Collection[str] = (), embed: Collection[str] = ()) -> Representation:
    """One listing as its context holds it."""
    request = context.request
    owners = accounts.public_users(request, [context.row.user_id]) if "owner" in embed else {}
    shown = _listing(context.row, request.actor, context, fields, owners)
    shown.links["collection"] = _COLLECTION
    shown.version = context.row.version
    shown.last_modified = context.row.date_updated
    shown.is_public = True
    return shown


def listings(
    request: Request, page: Page, path: str, *, fields: Collection[str] = (), embed: Collection[str] = (),
    context: Context | None = None, is_public: bool = False,
) -> Representation:
    """One page of listings under ``path``; ``context`` is what the page's own forms belong to."""
    actor = request.actor
    with_forms = request.media == HAL_FORMS
    owners = accounts.public_users(request, {row.user_id for row in page.items}) if "owner" in embed else {}
    items = [
        _listing(row, actor, _context(request, row) if with_forms else None, fields, owners) for row in page.items
    ]
    return collection(request, "listings", items, page, path, context=context, is_public=is_public)


def _context(request: Request, row: Any) -> ListingContext:
    context = ListingContext(request, None, str(row.listing_id), row)
    context.path = f"/api/listings/{row.listing_id}"
    return context


def _listing(
    row: Any, actor: Actor, context: ListingContext | None, fields: Collection[str], owners: Mapping[int, Representation]
) -> Representation:
    values = _state(row, actor)
    state = {name: value for name, value in values.items() if name in fields or name == "listing_id"} if fields else values
    path = f"/api/listings/{row.listing_id}"
    owner = f"/api/users/{row.user_id}"
    embedded = {"owner": owners[row.user_id]} if row.user_id in owners else {}
    return Representation(
        state, {"self": link(path), "mkt:owner": link(owner)}, embedded, context=context, values=values
    )


def _state(row: Any, actor: Actor) -> dict[str, Any]:
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
    distance = getattr(row, "distance_km", None)
    if distance is not None:
        state["distance_km"] = round(distance, 1)
    return state


def _location(row: Any, in_full: bool) -> dict[str, Any]:
    """Strangers get no address, and coordinates rounded to about 1 km."""
    latitude, longitude = row.latitude, row.longitude
    place = {"city": row.city, "state": row.state, "zip": row.zip, "country": row.country}
    if latitude is None:
        place |= {"latitude": None, "longitude": None}
    elif in_full:
        place |= {"latitude": float(latitude), "longitude": float(longitude)}
    else:
        place |= {"latitude": float(round(latitude, 2)), "longitude": float(round(longitude, 2))}
    place["is_approximate"] = not in_full
    if in_full:
        place["address"] = row.address
    return place
