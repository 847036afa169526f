"""Photos, pictures, and the files themselves."""

from __future__ import annotations

from pyramid.request import Request
from pyramid.response import Response

from marketplace_api.domain.catalog import photos as photo_domain
from marketplace_api.domain.identity.accounts import pictures
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.media.files import store
from marketplace_api.errors import Forbidden, NotFound
from marketplace_api.hal.catalog import photos as represent
from marketplace_api.hal.identity import accounts
from marketplace_api.hal.representation import Representation, message
from marketplace_api.models.media.files import MOST_PHOTOS
from marketplace_api.resources.catalog.listings import ListingContext
from marketplace_api.resources.catalog.photos import FileContext, OfListing, PhotoContext, PhotosContext
from marketplace_api.resources.identity.accounts import MeContext
from marketplace_api.schemas.catalog import photos as schemas
from marketplace_api.security.permissions import Permission as P
from marketplace_api.views.file_response import send
from marketplace_api.views.negotiation import expected_version
from marketplace_api.views.service import Service

PHOTOS = "/api/listings/{listing_id}/photos"
photos = Service("photos", PHOTOS, PhotosContext, limits="upload")
photo = Service("photo", f"{PHOTOS}/{{photo_id}}", PhotoContext)
picture = Service("me-picture", "/api/users/me/picture", MeContext, on="/api/users/me", limits="upload")
file = Service("file", "/files/{key}", FileContext, limits="files")

IMMUTABLE = "public, max-age=31536000, immutable"
PRIVATE = "private, no-store"


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


@picture.operation(
    "POST",
    "set-picture",
    P.ACCOUNT_EDIT,
    title="Send a picture of yourself",
    upload=schemas.PICTURE,
    result="me",
    description="A JPEG, PNG or WebP; the square in its middle is encoded anew, without metadata.",
)
def set_picture(request: Request) -> Representation:
    registry, user_id = request.registry, request.actor.user_id
    pictures.replace(
        request.db,
        registry.databases,
        registry.storage,
        request.actor,
        user_id,
        stream=request.upload.stream,
        expected_version=expected_version(request),
    )
    return accounts.me(request.context.refreshed())


@picture.operation("DELETE", "remove-picture", P.ACCOUNT_EDIT, title="Remove your picture", result="me")
def remove_picture(request: Request) -> Representation:
    pictures.remove(request.db, request.actor, request.actor.user_id, expected_version=expected_version(request))
    return accounts.me(request.context.refreshed())


@file.operation(
    "GET",
    "fetch-file",
    P.FILE_READ,
    title="A file",
    query=schemas.FetchFile,
    result="file",
    errors=(403, 416),
    description="Photos are public and never change; other files open by the signed address that somebody was given.",
)
def fetch(request: Request) -> Response:
    key, query, registry = request.context.__name__, request.query, request.registry
    if store.is_public(key.partition("-")[0]):
        return send(request, registry.storage, key, IMMUTABLE)
    if query["signature"] is None or query["expires"] is None:
        raise NotFound("There is nothing at this address.")
    if not registry.url_signer.is_valid(key, query["expires"], query["signature"]):
        raise Forbidden("This address has expired or was changed; ask for a new one where you got it.")
    return send(request, registry.storage, key, PRIVATE)
