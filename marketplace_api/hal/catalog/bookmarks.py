"""Bookmarks as they go out: listings with what the bookmark adds, and stubs of those that are not to be had."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pyramid.request import Request

from marketplace_api.domain.catalog.listings.visibility import is_visible
from marketplace_api.domain.kernel.paging import Page
from marketplace_api.hal.catalog import listings
from marketplace_api.hal.paging import collection
from marketplace_api.hal.registry import represents
from marketplace_api.hal.representation import HAL_FORMS, Links, Representation, link
from marketplace_api.resources.catalog.bookmarks import PATH, BookmarkContext, BookmarksContext


def made(row: Any, *, was_there: bool) -> Representation:
    """The answer to adding a bookmark."""
    state = {"bookmark_id": row.bookmark_id, "user_id": row.user_id, "listing_id": row.listing_id}
    links: Links = {"self": link(f"{PATH}/{row.listing_id}"), "collection": link(PATH)}
    return Representation(state, links, is_repeat=was_there)


@represents(BookmarkContext)
def bookmark(context: BookmarkContext, fields: Collection[str] = ()) -> Representation:
    """One bookmark with its listing."""
    return _items(context.request, [context.row], fields)[0]


def bookmarks(request: Request, page: Page, context: BookmarksContext, fields: Collection[str] = ()) -> Representation:
    """One page of the caller's bookmarks."""
    return collection(request, "listings", _items(request, page.items, fields), page, PATH, context=context)


def _items(request: Request, rows: Collection[Any], fields: Collection[str]) -> list[Representation]:
    """In the order of ``rows``: the listing where the caller may open it, else no more than that it is away."""
    open_ones = [row for row in rows if is_visible(row, request.actor)]
    shown = dict(zip((row.listing_id for row in open_ones), listings.items(request, open_ones, fields), strict=True))
    return [_bookmark(request, row, shown.get(row.listing_id), fields) for row in rows]


def _bookmark(request: Request, row: Any, listing: Representation | None, fields: Collection[str]) -> Representation:
    path = f"{PATH}/{row.listing_id}"
    item = _stub(request, row, path) if listing is None else listing
    item.state |= {
        "bookmark_id": row.bookmark_id,
        "date_bookmarked": row.date_bookmarked,
        "is_available": listing is not None,
    }
    if fields:
        item.state = {name: value for name, value in item.state.items() if name in fields or name == "listing_id"}
    item.links["mkt:bookmark"] = link(path)
    return item


def _stub(request: Request, row: Any, path: str) -> Representation:
    """Nothing of the listing's content: its owner or a moderator took that away."""
    context = None
    if request.media == HAL_FORMS:
        context = BookmarkContext(request, None, str(row.listing_id), row.listing_id)
        context.path, context.row = path, row
    state = {"listing_id": row.listing_id, "status": "unavailable", "bookmarked": True}
    return Representation(state, {"self": link(path)}, context=context)
