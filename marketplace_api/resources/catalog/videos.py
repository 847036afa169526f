"""The video of a listing in the tree."""

from __future__ import annotations

from typing import Any

from pyramid.request import Request

from marketplace_api.domain.catalog import videos
from marketplace_api.errors import DomainError, NotFound
from marketplace_api.gateways import video
from marketplace_api.resources.base import Context
from marketplace_api.resources.catalog.photos import OfListing
from marketplace_api.resources.reify import reify


class VideoContext(OfListing):
    """``/api/listings/{listing_id}/video``, whether there is one or not; its parent is the listing."""

    def __init__(self, request: Request, parent: Any, name: str) -> None:
        super().__init__(request, parent, name, parent)

    @classmethod
    def seen_from(cls, page: Context, path: str) -> VideoContext:
        """On the page of a listing: its own video."""
        return cls(page.request, page, path.rsplit("/", 1)[-1])

    @reify
    def row(self) -> Any | None:
        """The video's row, ``None`` where the listing has none that can be shown."""
        listing = self.listing.row
        return videos.find(self.request.db, listing.listing_id) if listing.has_video else None

    def unavailable(self, operation: str) -> DomainError:
        if operation == "set-video" and not video.is_available():
            return DomainError("This marketplace takes no videos.", code="not_supported")
        listing = self.listing
        if operation == "remove-video" and not listing.deleted and not listing.row.has_video:
            return NotFound("The listing has no video.")
        return super().unavailable(operation)

    def refreshed(self) -> VideoContext:
        """The video as it is in the database now."""
        return VideoContext(self.request, self.listing.refreshed(), self.__name__)
