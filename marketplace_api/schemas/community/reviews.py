"""What may come in about reviews, and the names of what goes out."""

from __future__ import annotations

from typing import Any

import colander
from colander import SchemaNode, drop

from marketplace_api.schemas.base import Body, PageQuery, Query, names, only
from marketplace_api.schemas.types import Integer, InvalidField, Nullable, Text

REVIEW_FIELDS = (
    "review_id",
    "listing_id",
    "reviewee_id",
    "reviewer_id",
    "reviewer_username",
    "rating",
    "comment",
    "date_posted",
    "date_updated",
    "reply",
    "date_replied",
    "status",
    "is_moderated",
    "moderation_reason",
)
REVIEW_EMBEDS = ("reviewer",)
READ_ONLY = frozenset((*REVIEW_FIELDS, *REVIEW_EMBEDS))

COMMENT = Text(5000, lines=True)
REASON = Text(2000, 3, lines=True)


class PostReview(Body):
    """A review of exactly one listing or person."""

    read_only = READ_ONLY - {"listing_id", "reviewee_id", "rating", "comment"}
    together = {"oneOf": [only("listing_id", "reviewee_id"), only("reviewee_id", "listing_id")]}
    listing_id = SchemaNode(Nullable(Integer(1)), missing=None, title="Listing", description="Or a reviewee_id.")
    reviewee_id = SchemaNode(Nullable(Integer(1)), missing=None, title="Person", description="Or a listing_id.")
    rating = SchemaNode(Integer(1, 5), title="Rating", description="1 to 5 stars.")
    comment = SchemaNode(COMMENT, title="Comment", description="Plain text.")

    def validator(self, node: SchemaNode, value: dict[str, Any]) -> None:
        given = [name for name in ("listing_id", "reviewee_id") if value.get(name) is not None]
        if len(given) == 1:
            return
        code, message = "required", "Name a listing_id or a reviewee_id."
        if given:
            code, message = "two_targets", "Name one of the two."
        problem = colander.Invalid(node)
        for child in node.children:
            if child.name in ("listing_id", "reviewee_id"):
                problem.add(InvalidField(child, code, message))
        raise problem


class Reply(Body):
    """The answer of the side that was reviewed."""

    reply = SchemaNode(COMMENT, title="Reply", description="Plain text; there is one reply, and it stays.")


class EditReview(Body):
    """What a moderator changes; absent fields stay as they are."""

    read_only = READ_ONLY - {"rating", "comment", "reply"}
    rating = SchemaNode(Integer(1, 5), missing=drop, title="Rating")
    comment = SchemaNode(COMMENT, missing=drop, title="Comment")
    reply = SchemaNode(Nullable(COMMENT), missing=drop, title="Reply", description="null takes it away.")
    reason = SchemaNode(REASON, title="Reason", description="Those concerned read this.")


class DeleteReview(Body):
    """Why a review is deleted."""

    reason = SchemaNode(REASON, title="Reason", description="Its author reads this.")


class ReadReview(Query):
    """How to show one review."""

    fields = names(REVIEW_FIELDS, "Only these fields.")
    embed = names(REVIEW_EMBEDS, "Related resources to show inside.")


class ListReviews(PageQuery):
    """The reviews of a listing or a person, newest first."""

    fields = names(REVIEW_FIELDS, "Only these fields of each review.")
    embed = names(REVIEW_EMBEDS, "Related resources to show inside each review.")
