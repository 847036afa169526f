"""The event log as a feed."""

from __future__ import annotations

from pyramid.request import Request

from marketplace_api.domain.eventlog import feed
from marketplace_api.domain.eventlog.event_patterns import expand
from marketplace_api.hal.eventlog import feed as represent
from marketplace_api.hal.representation import Representation
from marketplace_api.resources.eventlog.feed import FedEventContext, FeedContext
from marketplace_api.schemas.eventlog import feed as schemas
from marketplace_api.security.permissions import Permission
from marketplace_api.views.service import Service

collection = Service("events", "/api/events", FeedContext)
item = Service("fed-event", "/api/events/{event_id}", FedEventContext)


@collection.operation(
    "GET",
    "read-events",
    Permission.EVENT_READ,
    title="The feed of events",
    query=schemas.ReadFeed,
    result="feed",
    errors=(409, 410),
    description="Every event once, in the order of the ids, none left out whatever commits late. Remember `next_after`, "
    "and go on with it as `after`. An id from before the oldest event that is kept gets 410, which names that one; "
    "one that was never given, as after the restore of a backup, 409, which names the newest.",
)
def find(request: Request) -> Representation:
    query = request.query
    # Only the primary knows who records.
    part = feed.part(request.primary, query["after"], query["limit"], expand(query["type"]))
    return represent.events(request, part, request.context)


@item.operation("GET", "read-fed-event", Permission.EVENT_READ, title="One event of the feed", result="event")
def read(request: Request) -> Representation:
    return represent.event(request.context)
