"""The caller's bookmarks."""

from __future__ import annotations

from pyramid.request import Request

from marketplace_api.domain.catalog import bookmarks
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.hal.catalog import bookmarks as represent
from marketplace_api.hal.representation import Representation, message
from marketplace_api.resources.catalog.bookmarks import PATH, BookmarkContext, BookmarksContext
from marketplace_api.resources.catalog.listings import ListingContext
from marketplace_api.schemas.catalog import bookmarks as schemas
from marketplace_api.security.permissions import Permission as P
from marketplace_api.views.negotiation import page_request
from marketplace_api.views.service import Service

collection = Service("bookmarks", PATH, BookmarksContext)
item = Service("bookmark", f"{PATH}/{{listing_id}}", BookmarkContext)


def _addable(context: BookmarksContext, _actor: Actor) -> bool:
    page = context.page
    return page is None or not (page.deleted or page.bookmarked)


def _kept(context: BookmarkContext, _actor: Actor) -> bool:
    return context.is_kept


@collection.operation(
    "GET",
    "list-bookmarks",
    P.BOOKMARK_READ,
    title="Your bookmarks",
    query=schemas.ListBookmarks,
    result="bookmarks",
    description="What is not to be had any more is still listed, with `is_available: false` and without its content.",
)
def find(request: Request) -> Representation:
    query = request.query
    page = bookmarks.list_page(request.db, request.actor.user_id, page_request(query))
    return represent.bookmarks(request, page, request.context, query["fields"])


@collection.operation(
    "POST",
    "bookmark",
    P.BOOKMARK_ADD,
    title="Bookmark",
    body=schemas.AddBookmark,
    success=201,
    again=200,
    applies=_addable,
    shown_on=(ListingContext,),
    result="bookmark_made",
    errors=(404,),
)
def add(request: Request) -> Representation:
    row, was_there = bookmarks.add(request.db, request.actor, request.validated["listing_id"])
    return represent.made(row, was_there=was_there)


@item.operation(
    "GET", "read-bookmark", P.BOOKMARK_READ, title="One bookmark", query=schemas.ReadBookmark, result="bookmark"
)
def read(request: Request) -> Representation:
    return represent.bookmark(request.context, request.query["fields"])


@item.operation(
    "DELETE",
    "remove-bookmark",
    P.BOOKMARK_REMOVE,
    title="Remove the bookmark",
    applies=_kept,
    shown_on=(ListingContext,),
    result="message",
)
def remove(request: Request) -> Representation:
    bookmarks.remove(request.db, request.actor, request.context.listing_id)
    return message("Bookmark removed", PATH)
