"""The listings of one person: the caller's own, and what somebody offers."""

from __future__ import annotations

from pyramid.request import Request

from marketplace_api.domain.catalog.search import owned
from marketplace_api.hal.catalog.listings import listings
from marketplace_api.hal.representation import Representation
from marketplace_api.resources.identity.accounts import MeContext, UserContext
from marketplace_api.schemas.catalog.listings import ListListings, ListOwnListings
from marketplace_api.security.permissions import Permission as P
from marketplace_api.views.negotiation import page_request
from marketplace_api.views.service import Service

ME = "/api/users/me"
own_listings = Service("me-listings", f"{ME}/listings", MeContext, on=ME)
their_listings = Service("user-listings", "/api/users/{user_id}/listings", UserContext, on="/api/users/{user_id}")


@own_listings.operation(
    "GET", "my-listings", P.ACCOUNT_READ, title="Your listings", query=ListOwnListings, result="listings"
)
def list_own(request: Request) -> Representation:
    wanted = tuple(request.query["status"])
    page = owned(
        request.db,
        request.actor.user_id,
        page_request(request.query),
        include_private=True,
        statuses=tuple(s for s in wanted if s != "deleted") or None,
        deleted="deleted" in wanted,
    )
    return listings(request, page, f"{ME}/listings", fields=request.query["fields"])


@their_listings.operation(
    "GET", "user-listings", P.LISTING_SEARCH, title="What somebody offers", query=ListListings, result="listings"
)
def list_theirs(request: Request) -> Representation:
    page = owned(
        request.db, request.context.row.user_id, page_request(request.query), include_private=False, statuses=None
    )
    return listings(request, page, f"{request.context.path}/listings", fields=request.query["fields"], is_public=True)
