"""The photos of a listing: adding, arranging and removing them."""

from __future__ import annotations

from pyramid.request import Request

from marketplace_api.domain.catalog import photos as photo_domain
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.hal.catalog import photos as represent
from marketplace_api.hal.representation import Representation, message
from marketplace_api.models.catalog.photos import MOST_PHOTOS
from marketplace_api.resources.catalog.listings import ListingContext
from marketplace_api.resources.catalog.photos import OfListing, PhotoContext, PhotosContext
from marketplace_api.schemas.catalog import photos as schemas
from marketplace_api.security.permissions import Permission as P
from marketplace_api.views.negotiation import expected_version
from marketplace_api.views.service import Service

PHOTOS = "/api/listings/{listing_id}/photos"
photos = Service("photos", PHOTOS, PhotosContext, limits="upload")
photo = Service("photo", f"{PHOTOS}/{{photo_id}}", PhotoContext)


def present(context: OfListing, _actor: Actor) -> bool:
    """Whether the listing that this is a part of is there."""
    return context.is_present


def editable(context: OfListing, _actor: Actor) -> bool:
    """Whether the listing is in a state in which its owner changes it."""
    return context.is_editable


def _has_room(context: PhotosContext, _actor: Actor) -> bool:
    return context.is_editable and context.listing.row.photo_count < MOST_PHOTOS


@photos.operation(
    "GET", "list-photos", P.LISTING_READ, title="The photos of a listing", applies=present, result="photos"
)
def list_photos(request: Request) -> Representation:
    return represent.photos(request.context)


@photos.operation(
    "POST",
    "add-photo",
    P.LISTING_EDIT,
    title="Add a photo",
    body=schemas.AddPhoto,
    upload=schemas.PHOTO,
    applies=_has_room,
    shown_on=(ListingContext,),
    success=201,
    result="photo",
    description="A JPEG, PNG or WebP; it is encoded anew in three sizes, without metadata. 24 photos at most.",
)
def add(request: Request) -> Representation:
    context, registry = request.context, request.registry
    row = photo_domain.add(
        request.db,
        registry.databases,
        registry.storage,
        request.actor,
        context.listing.row,
        stream=request.upload.stream,
        alt_text=request.validated["alt_text"],
        expected_version=expected_version(request),
    )
    return represent.photo(context.refreshed().child(row))


@photos.operation(
    "PUT",
    "arrange-photos",
    P.LISTING_EDIT,
    title="Order and describe the photos",
    body=schemas.ArrangePhotos,
    applies=editable,
    result="photos",
)
def arrange(request: Request) -> Representation:
    context = request.context
    photo_domain.arrange(
        request.db,
        request.actor,
        context.listing.row.listing_id,
        request.validated["photos"],
        expected_version=expected_version(request),
    )
    return represent.photos(context.refreshed())


@photo.operation("GET", "read-photo", P.LISTING_READ, title="A photo", applies=present, result="photo")
def read(request: Request) -> Representation:
    return represent.photo(request.context)


@photo.operation("DELETE", "remove-photo", P.LISTING_EDIT, title="Remove the photo", applies=editable, result="message")
def remove(request: Request) -> Representation:
    context = request.context
    photo_domain.remove(
        request.db,
        request.actor,
        context.listing.row.listing_id,
        context.row.photo_id,
        expected_version=expected_version(request),
    )
    return message("Photo removed", context.__parent__.path)
