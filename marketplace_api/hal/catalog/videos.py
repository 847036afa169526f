"""Videos as they go out: how long and how large they are, where to fetch them and the frame that stands for them."""

from __future__ import annotations

from marketplace_api.gateways.storage import content_type_of
from marketplace_api.hal.file_address import file_address
from marketplace_api.hal.registry import represents
from marketplace_api.hal.representation import Representation, link
from marketplace_api.resources.catalog.videos import VideoContext


@represents(VideoContext)
def video(context: VideoContext) -> Representation:
    """The video of a listing; of one that has none only which listing that is."""
    row, links = context.row, {"self": link(context.path), "up": link(context.listing.path)}
    if row is None:
        bare = {"listing_id": context.listing.row.listing_id}
        return Representation(bare, links, context=context, version=context.version, is_public=True)
    is_public: bool = context.listing.row.is_public
    state = {
        "listing_id": row.listing_id,
        "duration_seconds": float(row.seconds),
        "width": row.width,
        "height": row.height,
        "content_type": content_type_of(row.video_key),
        "url": file_address(context.request, row.video_key, is_public=is_public),
        "poster_url": file_address(context.request, row.poster_key, is_public=is_public),
    }
    return Representation(state, links, context=context, version=context.version, is_public=True)
