"""Reports as they go out: to who made one, and to the moderators who work on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyramid.request import Request

from marketplace_api.domain.kernel.paging import Page
from marketplace_api.domain.trust.reports import queries
from marketplace_api.hal.paging import collection
from marketplace_api.hal.registry import represents
from marketplace_api.hal.representation import HAL_FORMS, Links, Representation, link
from marketplace_api.resources.trust.reports import OwnReportContext, ReportContext, ReportQueueContext

QUEUE = "/api/moderation/reports"
_ACCOUNTS = "/api/admin/users"
_PUBLIC = {"listing": "/api/listings", "user": "/api/users", "review": "/api/reviews"}
# Where moderators open what a report is about, whatever its state.
_MODERATED = {
    "listing": "/api/listings",
    "user": _ACCOUNTS,
    "review": "/api/reviews",
    "message": "/api/moderation/messages",
}


@represents(OwnReportContext)
def own_report(context: OwnReportContext) -> Representation:
    """A report for who made it: what became of it, and not who decided."""
    row = context.row
    links: Links = {"self": link(context.path), "up": link("/api")}
    if row.subject_is_public:
        links["mkt:subject"] = link(f"{_PUBLIC[row.subject_type]}/{row.subject_id}")
    return Representation(_state(row), links, context=context, last_modified=row.date_updated)


@represents(ReportContext)
def report(context: ReportContext, *, also_decided: int | None = None) -> Representation:
    """One report for moderators; ``also_decided`` counts those that were decided with it."""
    shown = _report(context.row, queries.counts(context.request.db, [context.row]), context)
    if also_decided is not None:
        shown.state["also_decided"] = also_decided
    shown.version, shown.last_modified = context.row.version, context.row.date_updated
    return shown


def reports(request: Request, page: Page, context: ReportQueueContext) -> Representation:
    """One part of the queue."""
    with_forms = request.media == HAL_FORMS
    counts = queries.counts(request.db, page.items)
    items = [
        _report(row, counts, ReportContext(request, None, str(row.report_id), row) if with_forms else None)
        for row in page.items
    ]
    shown = collection(request, "reports", items, page, QUEUE, context=context)
    shown.links["up"] = link("/api/moderation")
    return shown


def _state(row: Any) -> dict[str, Any]:
    return {
        "report_id": row.report_id,
        "subject_type": row.subject_type,
        "subject_id": row.subject_id,
        "reason": row.reason,
        "comment": row.comment,
        "status": row.state,
        "decision_reason": row.decision_reason,
        "date_created": row.date_created,
        "date_updated": row.date_updated,
        "date_decided": row.date_decided,
    }


def _report(row: Any, counts: Mapping[tuple[str, int], int], context: ReportContext | None) -> Representation:
    state = _state(row) | {
        "reporter_id": row.reporter_id,
        "reporter_username": row.reporter_username,
        "reported_id": row.reported_id,
        "reported_username": row.reported_username,
        "assignee_id": row.assignee_id,
        "assignee_username": row.assignee_username,
        "subject": {
            "title": row.subject_title,
            "status": row.subject_status,
            "content": row.message_content,
            "report_count": counts[row.subject_type, row.subject_id],
        },
    }
    return Representation(state, _links(row), context=context, values={})


def _links(row: Any) -> Links:
    links: Links = {"self": link(f"{QUEUE}/{row.report_id}"), "collection": link(QUEUE)}
    same = f"{QUEUE}?subject_type={row.subject_type}&subject_id={row.subject_id}"
    links["mkt:reports"] = link(same, title="All reports of the same")
    is_open = row.message_is_open if row.subject_type == "message" else True
    if is_open and not (row.subject_type == "listing" and row.subject_status == "deleted"):
        links["mkt:subject"] = link(f"{_MODERATED[row.subject_type]}/{row.subject_id}")
    for name in ("reporter", "reported", "assignee"):
        user_id = getattr(row, f"{name}_id")
        if user_id is not None:
            links[f"mkt:{name}"] = link(f"{_ACCOUNTS}/{user_id}")
    return links
