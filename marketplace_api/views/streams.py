"""Tickets for the stream of events. The stream itself is served by the realtime process."""

from __future__ import annotations

from pyramid.request import Request

from marketplace_api.domain import streams
from marketplace_api.hal import streams as represent
from marketplace_api.hal.representation import Representation
from marketplace_api.resources.streams import TICKETS, StreamTicketsContext
from marketplace_api.security.permissions import Permission
from marketplace_api.views.service import Service

tickets = Service("stream-tickets", TICKETS, StreamTicketsContext)


@tickets.operation(
    "POST",
    "open-stream",
    Permission.STREAM_OPEN,
    title="Get a ticket for the stream",
    result="stream_ticket",
    description="Browsers' `EventSource` sends no header: the address with the ticket opens one stream, once, within "
    "30 seconds. Whoever can send `Authorization` needs none.",
)
def issue(request: Request) -> Representation:
    text = streams.issue_ticket(request.db, request.actor)
    return represent.ticket(text, streams.TICKET_SECONDS, request.registry.app_settings.realtime_url)


tickets.offer_form()
