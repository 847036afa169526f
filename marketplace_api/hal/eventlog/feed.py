"""The feed of events as it goes out: each event as in the log, and where to go on."""

from __future__ import annotations

from urllib.parse import urlencode

from pyramid.request import Request

from marketplace_api.domain.eventlog.feed import Part
from marketplace_api.hal.eventlog.audit import state_of
from marketplace_api.hal.registry import represents
from marketplace_api.hal.representation import Links, Representation, link
from marketplace_api.resources.eventlog.feed import FedEventContext, FeedContext

FEED = "/api/events"


@represents(FedEventContext)
def event(context: FedEventContext) -> Representation:
    """One event."""
    row = context.row
    return Representation(state_of(row), {"self": link(f"{FEED}/{row.event_id}"), "collection": link(FEED)})


def events(request: Request, part: Part, context: FeedContext) -> Representation:
    """One part of the feed; ``next`` only while there is more at once, for else there is time to wait."""
    items = [event(FedEventContext(request, None, str(row.event_id), row)) for row in part.rows]
    asked = request.environ.get("QUERY_STRING", "")
    links: Links = {"self": link(f"{FEED}?{asked}" if asked else FEED)}
    if part.has_more:
        types = {"type": ",".join(request.query["type"])} if request.query["type"] else {}
        query = urlencode({"after": part.reached, "limit": request.query["limit"], **types}, safe=",*")
        links["next"] = link(f"{FEED}?{query}")
    paging = {rel: found["href"] for rel, found in links.items()}
    return Representation({"next_after": part.reached}, links, {"events": items}, context=context, paging=paging)
