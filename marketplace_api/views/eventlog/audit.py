"""The event log."""

from __future__ import annotations

from pyramid.request import Request

from marketplace_api.domain.eventlog import audit as domain
from marketplace_api.hal.eventlog import audit as represent
from marketplace_api.hal.representation import Representation
from marketplace_api.resources.eventlog.audit import AuditContext, EventContext
from marketplace_api.schemas.eventlog import audit as schemas
from marketplace_api.security.permissions import Permission
from marketplace_api.views.negotiation import page_request
from marketplace_api.views.service import Service

collection = Service("audit", "/api/audit", AuditContext)
item = Service("event", "/api/audit/{event_id}", EventContext)


@collection.operation(
    "GET",
    "audit",
    Permission.AUDIT_READ,
    title="The event log",
    query=schemas.ListEvents,
    result="events",
    description="What happened, newest first: by whom, to what, with the values before and after.",
)
def find(request: Request) -> Representation:
    query = request.query
    names = ("subject_type", "subject_id", "actor_id", "type", "since", "until")
    wanted = domain.Criteria(**{name: query[name] for name in names})
    page = domain.list_page(request.db, wanted, page_request(query))
    return represent.events(request, page, request.context)


@item.operation("GET", "read-event", Permission.AUDIT_READ, title="Read an event", result="event")
def read(request: Request) -> Representation:
    return represent.event(request.context)
