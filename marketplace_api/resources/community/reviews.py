"""Reviews in the tree: ``/api/reviews``, where they are posted, and the single review with its ACL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyramid.authorization import Allow, Deny, Everyone
from pyramid.request import Request

from marketplace_api.domain.community.reviews import queries
from marketplace_api.domain.community.reviews.writing import already_replied
from marketplace_api.domain.trust.reports import queries as report_rows
from marketplace_api.errors import DomainError
from marketplace_api.resources.base import ACL, Context, identifier
from marketplace_api.resources.catalog.listings import ListingContext
from marketplace_api.resources.reify import reify
from marketplace_api.security.permissions import Permission as P
from marketplace_api.security.principals import CUSTOMER, MODERATOR, owner, reader


class ReviewContext(Context):
    """One review in whatever state; ``row`` is the light row that its representation is made from.

    A deleted one is gone for all but its author and moderators. One whose target is not public any more is open to
    those concerned only.
    """

    read_permission = P.REVIEW_READ

    def __init__(self, request: Request, parent: Context | None, name: str, row: Any) -> None:
        super().__init__(request, parent, name)
        self.path = f"/api/reviews/{name}"
        self.row = row
        self.deleted: bool = row.deleted_at is not None
        self.conceal: bool = self.deleted or not row.target_is_public  # type: ignore[misc]

    @property
    def version(self) -> int:
        return int(self.row.version)

    @reify
    def reported(self) -> bool:
        """Whether the caller has reported it."""
        found = report_rows.reported_by(self.request.db, self.request.actor.user_id, "review", [self.row.review_id])
        return bool(found)

    @property
    def stored_fields(self) -> Mapping[str, Any]:
        return {name: getattr(self.row, name) for name in ("comment", "reply")}

    def with_row(self, row: Any) -> ReviewContext:
        """The same place in the tree with a newer row."""
        return ReviewContext(self.request, self.__parent__, self.__name__, row)

    def refreshed(self) -> ReviewContext:
        """This review as it is in the database now."""
        return self.with_row(queries.find(self.request.db, self.row.review_id))

    @property
    def __acl__(self) -> ACL:  # type: ignore[override]
        author, reviewed = self.row.reviewer_id, self.row.reviewed_id
        return [
            # Nobody decides on what they wrote, or what was written about them.
            *((Deny, owner(user_id), (P.REVIEW_MODERATE,)) for user_id in (author, reviewed)),
            (Allow, MODERATOR, (P.REVIEW_READ, P.REVIEW_MODERATE)),
            (Allow, reader(author), (P.REVIEW_READ,)),
            *([] if self.deleted else [(Allow, reader(reviewed), (P.REVIEW_READ,))]),
            (Allow, owner(reviewed), (P.REVIEW_REPLY,)),
            *([] if self.conceal else [(Allow, Everyone, (P.REVIEW_READ,))]),
        ]

    def refusal(self) -> DomainError | None:
        return queries.gone() if self.deleted and self.row.target_is_public else None

    def unavailable(self, operation: str) -> DomainError:
        if self.deleted:
            return queries.gone()
        return already_replied(self.row.review_id) if operation == "reply" else super().unavailable(operation)


class ReviewsContext(Context):
    """``/api/reviews``; ``page`` is the listing or person whose review is offered there."""

    __acl__ = [(Allow, CUSTOMER, (P.REVIEW_POST,))]
    page: Context | None = None

    @classmethod
    def seen_from(cls, page: Context, path: str) -> Context:
        context = cls(page.request, page, "reviews")
        context.path, context.page = path, page
        if isinstance(page, ListingContext):
            context.fills = {"listing_id": page.row.listing_id, "reviewee_id": None}
        else:
            context.fills = {"listing_id": None, "reviewee_id": page.row.user_id}  # type: ignore[attr-defined]
        return context

    def __getitem__(self, name: str) -> Context:
        row = queries.find(self.request.db, identifier(name))
        if row is None:
            raise KeyError(name)
        return ReviewContext(self.request, self, name, row)

    def child(self, row: Any) -> ReviewContext:
        """The context of a review whose row is already known."""
        return ReviewContext(self.request, self, str(row.review_id), row)
