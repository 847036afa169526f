"""The photos of a listing in the tree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyramid.request import Request

from marketplace_api.domain.catalog import photos
from marketplace_api.errors import DomainError
from marketplace_api.resources.base import ACL, Context, identifier
from marketplace_api.security.permissions import Permission as P


class OfListing(Context):
    """A part of a listing: whoever may see or edit that, and in its states only."""

    read_permission = P.LISTING_READ

    def __init__(self, request: Request, parent: Any, name: str, listing: Any) -> None:
        super().__init__(request, parent, name)
        self.listing = listing
        self.conceal: bool = listing.conceal  # type: ignore[misc]

    @property
    def version(self) -> int:
        """The listing's: photos and video are a part of it."""
        return int(self.listing.version)

    @property
    def is_present(self) -> bool:
        return not self.listing.deleted

    @property
    def is_editable(self) -> bool:
        """Whether the state of the listing lets its owner change this part."""
        return self.is_present and self.listing.row.status != "suspended"

    @property
    def __acl__(self) -> ACL:  # type: ignore[override]
        return list(self.listing.__acl__)

    def refusal(self) -> DomainError | None:
        refused: DomainError | None = self.listing.refusal()
        return refused

    def unavailable(self, operation: str) -> DomainError:
        refused: DomainError = self.listing.unavailable(operation)
        return refused


class PhotoContext(OfListing):
    """``/api/listings/{listing_id}/photos/{photo_id}``."""

    def __init__(self, request: Request, parent: PhotosContext, name: str, row: Any) -> None:
        super().__init__(request, parent, name, parent.listing)
        self.row = row

    @property
    def stored_fields(self) -> Mapping[str, Any]:
        return {"alt_text": self.row.alt_text}

    def refreshed(self) -> PhotosContext:
        """The photos of the listing as they are now; this one may be gone."""
        parent: Any = self.__parent__
        return PhotosContext(self.request, parent.listing.refreshed(), parent.__name__)


class PhotosContext(OfListing):
    """``/api/listings/{listing_id}/photos``; its parent is the listing."""

    def __init__(self, request: Request, parent: Any, name: str) -> None:
        super().__init__(request, parent, name, parent)

    @classmethod
    def seen_from(cls, page: Context, path: str) -> PhotosContext:
        """On the page of a listing: its own photos."""
        return cls(page.request, page, path.rsplit("/", 1)[-1])

    def __getitem__(self, name: str) -> Context:
        row = photos.find(self.request.db, self.listing.row.listing_id, identifier(name))
        if row is None:
            raise KeyError(name)
        return PhotoContext(self.request, self, name, row)

    def unavailable(self, operation: str) -> DomainError:
        listing = self.listing
        if operation == "add-photo" and self.is_editable:
            return photos.too_many(listing.row)
        return super().unavailable(operation)

    def child(self, row: Any) -> PhotoContext:
        """The context of a photo whose row is already known."""
        return PhotoContext(self.request, self, str(row.photo_id), row)

    def refreshed(self) -> PhotosContext:
        """The photos as they are in the database now."""
        return PhotosContext(self.request, self.listing.refreshed(), self.__name__)
