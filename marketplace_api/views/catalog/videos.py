"""The video of a listing."""

from __future__ import annotations

from pyramid.request import Request

from marketplace_api.domain.catalog import videos
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.errors import NotFound
from marketplace_api.gateways.video import is_available
from marketplace_api.hal.catalog import videos as represent
from marketplace_api.hal.representation import Representation, message
from marketplace_api.resources.catalog.listings import ListingContext
from marketplace_api.resources.catalog.videos import VideoContext
from marketplace_api.schemas.catalog import videos as schemas
from marketplace_api.security.permissions import Permission as P
from marketplace_api.views.catalog.photos import present
from marketplace_api.views.negotiation import expected_version
from marketplace_api.views.service import Service

service = Service("video", "/api/listings/{listing_id}/video", VideoContext, limits="upload")


def _settable(context: VideoContext, _actor: Actor) -> bool:
    return context.is_editable and is_available()


def _removable(context: VideoContext, _actor: Actor) -> bool:
    return context.is_editable and context.listing.row.has_video


@service.operation(
    "GET", "read-video", P.LISTING_READ, title="The video of a listing", applies=present, result="video", errors=(404,)
)
def read(request: Request) -> Representation:
    if request.context.row is None:
        raise NotFound("The listing has no video.")
    return represent.video(request.context)


@service.operation(
    "POST",
    "set-video",
    P.LISTING_EDIT,
    title="Send a video",
    upload=schemas.VIDEO,
    applies=_settable,
    shown_on=(ListingContext,),
    success=201,
    result="video",
    description="An MP4 or WebM, instead of the one that may be there. It is packed anew without metadata.",
)
def send(request: Request) -> Representation:
    context, registry = request.context, request.registry
    videos.replace(
        request.db,
        registry.databases,
        registry.storage,
        request.actor,
        context.listing.row,
        stream=request.upload.stream,
        most_seconds=registry.app_settings.video_seconds,
        expected_version=expected_version(request),
    )
    return represent.video(context.refreshed())


@service.operation(
    "DELETE",
    "remove-video",
    P.LISTING_EDIT,
    title="Remove the video",
    applies=_removable,
    shown_on=(ListingContext,),
    result="message",
)
def remove(request: Request) -> Representation:
    listing = request.context.listing
    videos.remove(request.db, request.actor, listing.row.listing_id, expected_version=expected_version(request))
    return message("Video removed", listing.path)
