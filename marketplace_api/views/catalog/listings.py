"""Listings: search, read, write, and one service for each step of their workflow."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pyramid.request import Request

from marketplace_api.domain.catalog.listings import editing, workflow
from marketplace_api.domain.catalog.listings.workflow import LISTING_WORKFLOW
from marketplace_api.domain.catalog.search import SearchQuery, search
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.kernel.workflow import Reason, Transition
from marketplace_api.hal.catalog import listings as represent
from marketplace_api.hal.representation import Representation, message
from marketplace_api.resources.catalog.listings import ListingContext, ListingsContext
from marketplace_api.schemas.base import Body
from marketplace_api.schemas.catalog import listings as schemas
from marketplace_api.security.permissions import Permission as P
from marketplace_api.security.policy import may
from marketplace_api.views.negotiation import expected_version, page_request
from marketplace_api.views.service import Service

collection = Service("listings", "/api/listings", ListingsContext, limits="search")
item = Service("listing", "/api/listings/{listing_id}", ListingContext)


def _present(context: ListingContext, _actor: Actor) -> bool:
    return not context.deleted


def _editable(context: ListingContext, _actor: Actor) -> bool:
    return not context.deleted and context.row.status != "suspended"


def _restorable(context: ListingContext, _actor: Actor) -> bool:
    return editing.is_restorable(context.row.deleted_at, datetime.now(UTC))


@item.operation(
    "GET", "read", P.LISTING_READ, title="Read a listing", query=schemas.ReadListing, applies=_present, result="listing"
)
def read(request: Request) -> Representation:
    return represent.listing(request.context, request.query["fields"], request.query["embed"])


@collection.operation(
    "GET", "search", P.LISTING_SEARCH, title="Search listings", query=schemas.SearchListings, result="listings"
)
def find(request: Request) -> Representation:
    query = request.query
    page = search(request.db, _search_query(query), page_request(query))
    found = represent.listings(
        request,
        page,
        "/api/listings",
        fields=query["fields"],
        embed=query["embed"],
        context=request.context,
        is_public=True,
    )
    found.links |= represent.suggestions_link(page, query["search"])
    return found


def _search_query(query: dict[str, Any]) -> SearchQuery:
    """The query string in the words of the domain."""
    return SearchQuery(
        text=query["search"],
        category=query["category"],
        location=query["location"],
        min_price=query["min_price"],
        max_price=query["max_price"],
        amenities=tuple(query["amenities"]),
        verified=query["verified"],
        owner=query["owner"],
        near=query["near"],
        radius_km=float(query["radius_km"]) if query["radius_km"] is not None else None,
        bbox=query["bbox"],
        sort=query["sortBy"],
        descending=None if query["order"] is None else query["order"] == "desc",
        facets=tuple(query["facets"]),
    )


@collection.operation(
    "POST",
    "create",
    P.LISTING_CREATE,
    title="Offer something",
    body=schemas.CreateListing,
    success=201,
    result="listing",
)
def create(request: Request) -> Representation:
    row = editing.create(request.db, request.actor, fields=request.validated)
    return represent.listing(request.context.child(row))


@item.operation(
    "PUT", "edit", P.LISTING_EDIT, title="Edit", body=schemas.EditListing, applies=_editable, result="listing"
)
def replace(request: Request) -> Representation:
    return _edited(request, merge=False)


@item.operation(
    "PATCH", "edit", P.LISTING_EDIT, title="Edit", body=schemas.EditListing, applies=_editable, result="listing"
)
def patch(request: Request) -> Representation:
    return _edited(request, merge=True)


def _edited(request: Request, *, merge: bool) -> Representation:
    context = request.context
    steps = frozenset(step.permission for step in LISTING_WORKFLOW if may(request.actor, context, P(step.permission)))
    row = editing.edit(
        request.db,
        request.actor,
        context.row.listing_id,
        changes=request.validated,
        expected_version=expected_version(request),
        merge=merge,
        may_step=steps,
    )
    return represent.listing(context.with_row(row))


@item.operation("DELETE", "delete", P.LISTING_DELETE, title="Delete", applies=_present, result="message")
def delete(request: Request) -> Representation:
    editing.delete(
        request.db, request.actor, request.context.row.listing_id, expected_version=expected_version(request)
    )
    return message("Listing deleted", "/api/listings")


restoring = Service(
    "listing-restore", "/api/listings/{listing_id}/restore", ListingContext, on="/api/listings/{listing_id}"
)


@restoring.operation("POST", "restore", P.LISTING_RESTORE, title="Restore", applies=_restorable, result="listing")
def restore(request: Request) -> Representation:
    version = expected_version(request)
    row = editing.restore(request.db, request.actor, request.context.row.listing_id, expected_version=version)
    return represent.listing(request.context.with_row(row))


_BODIES: dict[Reason, type[Body] | None] = {
    Reason.NONE: None,
    Reason.OPTIONAL: schemas.StepWithOptionalReason,
    Reason.REQUIRED: schemas.StepWithReason,
}


def _step_service(step: Transition) -> Service:
    """The service that takes one step of the workflow; ``Prefer: dry-run`` takes it without keeping it."""
    service = Service(
        f"listing-{step.name}",
        f"/api/listings/{{listing_id}}/{step.name}",
        ListingContext,
        on="/api/listings/{listing_id}",
    )

    @service.operation(
        "POST",
        step.name,
        P(step.permission),
        title=step.title,
        description=step.description,
        body=_BODIES[step.reason],
        applies=lambda context, _actor: workflow.possible(context.row, step),
        step=True,
        result="listing",
    )
    def take(request: Request) -> Representation:
        row = workflow.take(
            request.db,
            request.actor,
            request.context.row.listing_id,
            step.name,
            reason=request.validated.get("reason"),
            expected_version=expected_version(request),
        )
        return represent.listing(request.context.with_row(row))

    return service


steps = [_step_service(step) for step in LISTING_WORKFLOW]
