"""The caller's bookmarks in the tree: ``/api/users/me/bookmarks`` and what lies below, by listing."""

from __future__ import annotations

from typing import Any

from pyramid.authorization import Allow, Authenticated
from pyramid.request import Request

from marketplace_api.domain.catalog import bookmarks
from marketplace_api.resources.base import ACL, Context, identifier, known_caller
from marketplace_api.resources.catalog.listings import ListingContext
from marketplace_api.resources.reify import reify
from marketplace_api.security.permissions import Permission as P
from marketplace_api.security.principals import CUSTOMER, owner, reader

PATH = "/api/users/me/bookmarks"


class BookmarksContext(Context):
    """``/api/users/me/bookmarks``; ``page`` is the listing where keeping it is offered."""

    __acl__ = [(Allow, Authenticated, (P.BOOKMARK_READ,)), (Allow, CUSTOMER, (P.BOOKMARK_ADD,))]
    page: ListingContext | None = None

    @classmethod
    def seen_from(cls, page: Context, path: str) -> Context:
        context = cls(page.request, page, "bookmarks")
        context.path = path
        if isinstance(page, ListingContext):
            context.page, context.fills = page, {"listing_id": page.row.listing_id}
        return context

    def __getitem__(self, name: str) -> Context:
        known_caller(self.request, "bookmarks belong to an account")
        context = BookmarkContext(self.request, self, name, identifier(name))
        if context.row is None:
            raise KeyError(name)
        return context


class BookmarkContext(Context):
    """The caller's bookmark of one listing; the tree only holds those that are there."""

    conceal = True

    def __init__(self, request: Request, parent: Context | None, name: str, listing_id: int) -> None:
        super().__init__(request, parent, name)
        self.user_id: int = request.actor.user_id
        self.listing_id = listing_id

    @classmethod
    def seen_from(cls, page: Context, path: str) -> Context:
        assert isinstance(page, ListingContext)
        context = cls(page.request, page, "bookmark", page.row.listing_id)
        context.path = path.format(listing_id=page.row.listing_id)
        context.is_kept = page.bookmarked
        return context

    @reify
    def row(self) -> Any:
        """The bookmark with its listing."""
        return bookmarks.find(self.request.db, self.user_id, self.listing_id)

    @reify
    def is_kept(self) -> bool:
        return self.row is not None

    @property
    def __acl__(self) -> ACL:  # type: ignore[override]
        return [(Allow, reader(self.user_id), (P.BOOKMARK_READ,)), (Allow, owner(self.user_id), (P.BOOKMARK_REMOVE,))]
