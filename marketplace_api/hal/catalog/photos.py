"""Photos as they go out: what they show, how large they are, and where each size is fetched."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pyramid.request import Request

from marketplace_api.domain.catalog import photos as domain
from marketplace_api.hal.file_address import file_address
from marketplace_api.hal.registry import represents
from marketplace_api.hal.representation import HAL_FORMS, Representation, link
from marketplace_api.resources.base import Context
from marketplace_api.resources.catalog.photos import PhotoContext, PhotosContext


@represents(PhotosContext)
def photos(context: PhotosContext) -> Representation:
    """All photos of a listing, in their order."""
    listing = context.listing.row
    rows = domain.of_listings(context.request.db, [listing]).get(listing.listing_id, [])
    with_forms = context.request.media == HAL_FORMS
    items = [
        _photo(context.request, row, context.child(row) if with_forms else None, is_public=listing.is_public)
        for row in rows
    ]
    now = [{"photo_id": row.photo_id, "alt_text": row.alt_text} for row in rows]
    return Representation(
        {},
        {"self": link(context.path), "up": link(context.listing.path)},
        {"photos": items},
        context=context,
        values={"photos": now},
        version=context.version,
        is_public=True,
    )


@represents(PhotoContext)
def photo(context: PhotoContext) -> Representation:
    """One photo."""
    shown = _photo(context.request, context.row, context, is_public=context.listing.row.is_public)
    shown.version, shown.is_public = context.version, True
    return shown


def photos_of(
    request: Request, listings: Collection[Any], contexts: Collection[Any]
) -> dict[int, list[Representation]]:
    """The photos of listings by id, for embedding: of all ``listings`` (rows) at once.

    ``contexts`` are those of the listings where forms are wanted, each a context or ``None``.
    """
    found = domain.of_listings(request.db, listings)
    if not found:
        return {row.listing_id: [] for row in listings}
    parents = {context.row.listing_id: PhotosContext(request, context, "photos") for context in contexts if context}
    return {
        row.listing_id: [
            _photo(request, photo_row, _child(parents.get(row.listing_id), photo_row), is_public=row.is_public)
            for photo_row in found.get(row.listing_id, ())
        ]
        for row in listings
    }


def _child(parent: PhotosContext | None, row: Any) -> PhotoContext | None:
    return parent.child(row) if parent is not None else None


def _photo(request: Request, row: Any, context: Context | None, *, is_public: bool) -> Representation:
    state = {
        "photo_id": row.photo_id,
        "alt_text": row.alt_text,
        "width": row.width,
        "height": row.height,
        "urls": {
            size: file_address(request, getattr(row, f"{size}_key"), is_public=is_public)
            for size in ("thumb", "card", "full")
        },
    }
    collection = f"/api/listings/{row.listing_id}/photos"
    return Representation(
        state, {"self": link(f"{collection}/{row.photo_id}"), "collection": link(collection)}, context=context
    )
