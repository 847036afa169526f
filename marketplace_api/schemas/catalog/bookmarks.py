"""What may come in about bookmarks."""

from __future__ import annotations

from colander import SchemaNode

from marketplace_api.schemas.base import Body, PageQuery, Query, names
from marketplace_api.schemas.catalog.listings import LISTING_FIELDS
from marketplace_api.schemas.types import Integer

BOOKMARK_FIELDS = (*LISTING_FIELDS, "bookmark_id", "date_bookmarked", "is_available")


class AddBookmark(Body):
    """The listing to keep."""

    read_only = frozenset({"bookmark_id", "user_id"})
    listing_id = SchemaNode(Integer(1), title="Listing", description="The listing_id of a listing that you may open.")


class ListBookmarks(PageQuery):
    """One's own bookmarks."""

    fields = names(BOOKMARK_FIELDS, "Only these fields of each listing.")


class ReadBookmark(Query):
    """How to show one bookmark."""

    fields = names(BOOKMARK_FIELDS, "Only these fields.")
