"""Listings in the tree: the collection and the single listing with its ACL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from pyramid.authorization import Allow, Deny, Everyone
from pyramid.request import Request

from marketplace_api.domain.catalog import bookmarks
from marketplace_api.domain.catalog.listings import queries
from marketplace_api.domain.catalog.listings.editing import PLACE
from marketplace_api.domain.community.conversations import policy as message_policy
from marketplace_api.domain.community.reviews import queries as review_rows
from marketplace_api.domain.trust.reports import queries as report_rows
from marketplace_api.errors import Conflict, DomainError, Gone
from marketplace_api.resources.base import ACL, Context, everyone, identifier
from marketplace_api.resources.catalog.photos import PhotosContext
from marketplace_api.resources.catalog.videos import VideoContext
from marketplace_api.resources.reify import reify
from marketplace_api.security.permissions import Permission as P
from marketplace_api.security.principals import CUSTOMER, MODERATOR, owner, reader

OWNER = (P.LISTING_EDIT, P.LISTING_DELETE, P.LISTING_RESTORE, P.LISTING_PUBLISH, P.LISTING_SUBMIT)
READ = (P.LISTING_READ,)
EVERYONE = everyone(P.LISTING_READ)
MODERATION = (P.LISTING_MODERATE, P.LISTING_DELETE, P.LISTING_RESTORE, P.LISTING_READ)


class ListingContext(Context):
    """One listing in whatever state; ``row`` is the light row that its representation is made from.

    A listing that is not public looks absent to strangers. A deleted one looks gone to those who could have seen it.
    """

    def __init__(self, request: Request, parent: Context | None, name: str, row: Any) -> None:
        super().__init__(request, parent, name)
        self.row = row
        self.deleted: bool = row.deleted_at is not None
        self.conceal: bool = not row.is_public  # type: ignore[misc]

    read_permission = P.LISTING_READ
    parts: ClassVar[dict[str, Callable[[Request, Any, str], Context]]] = {
        "photos": PhotosContext,
        "video": VideoContext,
    }

    def __getitem__(self, name: str) -> Context:
        return self.parts[name](self.request, self, name)

    @property
    def version(self) -> int:
        return int(self.row.version)

    @property
    def stored_fields(self) -> Mapping[str, Any]:
        fields = {name: getattr(self.row, name) for name in ("title", "description", "photos_urls", "amenities")}
        return {**fields, "location": {name: getattr(self.row, name) for name in PLACE}}

    def with_row(self, row: Any) -> ListingContext:
        """The same place in the tree with a newer row."""
        return ListingContext(self.request, self.__parent__, self.__name__, row)

    def refreshed(self) -> ListingContext:
        """This listing as it is in the database now."""
        return self.with_row(queries.find(self.request.db, self.row.listing_id))

    # Lists set these five for a whole page at once.

    @reify
    def bookmarked(self) -> bool:
        """Whether the caller keeps it."""
        marks = bookmarks.marks(self.request.db, self.request.actor, [self.row])
        return bool(marks and marks[self.row.listing_id].bookmarked)

    @reify
    def own_review(self) -> int | None:
        """The caller's review of it."""
        user_id, listing_id = self.request.actor.user_id, self.row.listing_id
        return review_rows.standing(self.request.db, user_id, "listing_id", [listing_id]).get(listing_id)

    @reify
    def review_obstacle(self) -> str | None:
        """What stands between the caller and a review of it, apart from what was reviewed before."""
        rules, user_id = self.request.registry.review_rules, self.row.user_id
        return review_rows.obstacles(self.request.db, self.request.actor, rules, [user_id]).get(user_id)

    @reify
    def reported(self) -> bool:
        """Whether the caller has reported it."""
        found = report_rows.reported_by(self.request.db, self.request.actor.user_id, "listing", [self.row.listing_id])
        return bool(found)

    @reify
    def can_message(self) -> bool:
        """Whether the caller may write to its owner about it."""
        owner_id, actor = self.row.user_id, self.request.actor
        return message_policy.may_mention(self.row, actor) and owner_id in message_policy.reachable(
            self.request.db, actor, [owner_id]
        )

    @property
    def __acl__(self) -> ACL:  # type: ignore[override]
        user_id = self.row.user_id
        themselves = owner(user_id)
        return [
            (Deny, themselves, (P.LISTING_MODERATE,)),  # nobody decides on their own listing
            (Allow, themselves, OWNER),
            (Allow, reader(user_id), READ),
            (Allow, MODERATOR, MODERATION),
            *(EVERYONE if self.row.is_public else ()),
        ]

    def refusal(self) -> DomainError | None:
        was_public = self.row.status in ("active", "sold") and not self.row.owner_hidden
        if self.deleted and was_public:
            return Gone("This listing was deleted.")
        return None

    def unavailable(self, operation: str) -> DomainError:
        if self.deleted:
            return Gone(
                "This listing was deleted." if operation != "restore" else "It was deleted too long ago to come back."
            )
        status = self.row.status
        return Conflict(
            f"The operation `{operation}` is not possible while the listing is {status.replace('_', ' ')}.",
            code="wrong_state",
            extra={"state": status},
            link=self.path,
        )


class ListingsContext(Context):
    """``/api/listings``."""

    __acl__ = [(Allow, Everyone, (P.LISTING_SEARCH,)), (Allow, CUSTOMER, (P.LISTING_CREATE,))]

    def __getitem__(self, name: str) -> Context:
        row = queries.find(self.request.db, identifier(name))
        if row is None:
            raise KeyError(name)
        return ListingContext(self.request, self, name, row)

    def child(self, row: Any) -> ListingContext:
        """The context of a listing whose row is already known."""
        return ListingContext(self.request, self, str(row.listing_id), row)
