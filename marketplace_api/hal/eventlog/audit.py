"""The event log as it goes out."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pyramid.request import Request

from marketplace_api.domain.catalog.listings import queries as listings
from marketplace_api.domain.kernel.paging import Page
from marketplace_api.hal.paging import collection
from marketplace_api.hal.registry import represents
from marketplace_api.hal.representation import Links, Representation, link
from marketplace_api.resources.eventlog.audit import AuditContext, EventContext

AUDIT = "/api/audit"
_ACCOUNTS = "/api/admin/users"
# What admins can open, whatever its state (listings: as long as they are not deleted).
_SUBJECTS = {
    "user": _ACCOUNTS,
    "review": "/api/reviews",
    "report": "/api/moderation/reports",
    "listing": "/api/listings",
}


@represents(EventContext)
def event(context: EventContext) -> Representation:
    """One event."""
    return _event(context.row, _standing(context.request, [context.row]), context.request)


def events(request: Request, page: Page, context: AuditContext) -> Representation:
    """One part of the log."""
    standing = _standing(request, page.items)
    items = [_event(row, standing, request) for row in page.items]
    shown = collection(request, "events", items, page, AUDIT, context=context)
    shown.links["up"] = link("/api")
    return shown


def _standing(request: Request, rows: Collection[Any]) -> frozenset[int]:
    return listings.standing(request.db, {row.subject_id for row in rows if row.subject_type == "listing"} - {None})


def _event(row: Any, standing: frozenset[int], request: Request) -> Representation:
    state = state_of(row)
    links: Links = {"self": link(f"{AUDIT}/{row.event_id}"), "collection": link(AUDIT)}
    if row.actor_id is not None:
        links["mkt:actor"] = link(f"{_ACCOUNTS}/{row.actor_id}")
    if row.subject_id is not None and row.subject_type in _SUBJECTS:
        is_there = row.subject_type != "listing" or row.subject_id in standing
        # A report about the reader is not there for them.
        is_there &= row.subject_type != "report" or not request.actor.owns(row.new.get("reported_id", 0))
        if is_there:
            links["mkt:subject"] = link(f"{_SUBJECTS[row.subject_type]}/{row.subject_id}")
    return Representation(state, links)


def state_of(row: Any) -> dict[str, Any]:
    """What is told of an event."""
    return {
        "event_id": row.event_id,
        "type": row.type,
        "actor_id": row.actor_id,
        "actor_name": row.actor_name,
        "on_behalf_of_id": row.on_behalf_of_id,
        "subject_type": row.subject_type,
        "subject_id": row.subject_id,
        "previous": row.previous,
        "new": row.new,
        "reason": row.reason,
        "request_id": row.request_id,
        "date_created": row.date_created,
    }
