"""What moderators work on: the queues, the reports, the listings that wait for verification."""

from __future__ import annotations

from typing import Any

from pyramid.request import Request

from marketplace_api.domain.catalog.listings import review_queue
from marketplace_api.domain.kernel.workflow import Transition
from marketplace_api.domain.trust.reports import queue, workflow
from marketplace_api.domain.trust.reports.workflow import REPORT_WORKFLOW
from marketplace_api.hal.catalog.listings import listings
from marketplace_api.hal.representation import Representation, link
from marketplace_api.hal.trust import moderation as represent
from marketplace_api.hal.trust.reports import report, reports
from marketplace_api.resources.trust.moderation import ModerationContext, WaitingListingsContext
from marketplace_api.resources.trust.reports import ReportContext, ReportQueueContext
from marketplace_api.schemas.base import Body
from marketplace_api.schemas.trust import reports as schemas
from marketplace_api.security.permissions import Permission as P
from marketplace_api.views.negotiation import expected_version, page_request
from marketplace_api.views.service import Service

HOME = "/api/moderation"
ONE = f"{HOME}/reports/{{report_id}}"
home = Service("moderation", HOME, ModerationContext)
report_list = Service("moderation-reports", f"{HOME}/reports", ReportQueueContext)
item = Service("moderation-report", ONE, ReportContext)
listing_list = Service("moderation-listings", f"{HOME}/listings", WaitingListingsContext)


@home.operation("GET", "moderation", P.MODERATION_READ, title="What waits for moderators", result="moderation")
def enter(request: Request) -> Representation:
    return represent.moderation(request.context)


@report_list.operation(
    "GET",
    "list-reports",
    P.MODERATION_READ,
    title="Reports",
    query=schemas.ListReports,
    result="reports",
    description="Open ones first, then those that somebody works on, each the oldest first.",
)
def find(request: Request) -> Representation:
    query, actor = request.query, request.actor
    assigned = query["assigned"]
    wanted = queue.Criteria(
        states=tuple(query["status"]),
        subject_type=query["subject_type"],
        subject_id=query["subject_id"],
        assignee_id={"me": actor.user_id, "nobody": 0}.get(assigned, assigned),
    )
    page = queue.list_page(request.db, actor.user_id, wanted, page_request(query))
    return reports(request, page, request.context)


@item.operation(
    "GET",
    "read-moderated-report",
    P.MODERATION_READ,
    title="Read a report",
    result="report",
    description="A message that was reported can be read by whom the report is assigned to.",
)
def read(request: Request) -> Representation:
    return report(request.context)


def _assign(request: Request) -> Representation:
    row = workflow.assign(
        request.db,
        request.actor,
        request.context.row.report_id,
        request.validated["assignee_id"],
        expected_version=expected_version(request),
    )
    return report(request.context.with_row(row))


def _decide(request: Request, step: Transition) -> Representation:
    decision = workflow.decide(
        request.db,
        request.actor,
        request.context.row.report_id,
        step.name,
        **request.validated,
        expected_version=expected_version(request),
    )
    return report(request.context.with_row(decision.row), also_decided=decision.also)


_BODIES: dict[str, type[Body]] = {
    "assign": schemas.AssignReport,
    "resolve": schemas.ResolveReport,
    "dismiss": schemas.DismissReport,
}


def _step_service(step: Transition) -> Service:
    """The service that takes one step of the workflow; ``Prefer: dry-run`` takes it without keeping it."""
    service = Service(f"report-{step.name}", f"{ONE}/{step.name}", ReportContext, on=ONE)

    @service.operation(
        "POST",
        step.name,
        P(step.permission),
        title=step.title,
        description=step.description,
        body=_BODIES[step.name],
        applies=lambda context, _actor: workflow.possible(context.row, step.name),
        step=True,
        result="report",
    )
    def take(request: Request) -> Representation:
        return _assign(request) if step.name == "assign" else _decide(request, step)

    return service


steps = [_step_service(step) for step in REPORT_WORKFLOW]


@listing_list.operation(
    "GET",
    "list-waiting-listings",
    P.MODERATION_READ,
    title="Listings to verify",
    query=schemas.ListWaitingListings,
    result="listings",
    description="Submitted listings, and verified ones that changed, the longest waiting first.",
)
def list_waiting(request: Request) -> Representation:
    page: Any = review_queue.list_page(request.db, page_request(request.query))
    shown = listings(request, page, f"{HOME}/listings", context=request.context)
    shown.links["up"] = link(HOME)
    return shown
