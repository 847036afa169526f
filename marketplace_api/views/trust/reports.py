"""Reports by users: making one, and reading what became of it."""

from __future__ import annotations

from typing import Any

from pyramid.request import Request

from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.trust.reports import create, policy
from marketplace_api.hal.representation import Representation
from marketplace_api.hal.trust import reports as represent
from marketplace_api.resources.catalog.listings import ListingContext
from marketplace_api.resources.community.conversations import MessageContext
from marketplace_api.resources.community.reviews import ReviewContext
from marketplace_api.resources.identity.accounts import UserContext
from marketplace_api.resources.trust.reports import OwnReportContext, ReportsContext
from marketplace_api.schemas.trust import reports as schemas
from marketplace_api.security.permissions import Permission as P
from marketplace_api.views.service import Service

collection = Service("reports", "/api/reports", ReportsContext, limits="message")
item = Service("report", "/api/reports/{report_id}", OwnReportContext)


def _reportable(context: ReportsContext, actor: Actor) -> bool:
    page = context.page
    if page is None:
        return True  # the body names the subject: the domain decides
    # The query is only made where all else allows it.
    return policy.may_report(actor, _case(page, actor)) and not page.reported


def _case(page: Any, actor: Actor) -> policy.Case:
    match page:
        case ListingContext():
            return policy.of_listing(page.row.listing_id, page.row, actor)
        case UserContext():
            return policy.of_person(page.row.user_id, page.row.state)
        case MessageContext():
            return policy.of_message(page.row.message_id, page.row)
        case _:
            return policy.of_review(page.row.review_id, page.row, actor)


@collection.operation(
    "POST",
    "report",
    P.REPORT_MAKE,
    title="Report",
    body=schemas.MakeReport,
    success=201,
    applies=_reportable,
    shown_on=(ListingContext, UserContext, MessageContext, ReviewContext),
    result="own_report",
    errors=(404,),
    description="To moderators, once. Whom it is about is not told who made it.",
)
def make(request: Request) -> Representation:
    row = create.create(request.db, request.actor, **request.validated)
    return represent.own_report(request.context.child(row))


@item.operation("GET", "read-report", P.REPORT_READ, title="Read a report of yours", result="own_report")
def read(request: Request) -> Representation:
    return represent.own_report(request.context)
