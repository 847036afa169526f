"""Tickets for the stream of events. The stream itself is served by the realtime process."""

from __future__ import annotations

from pyramid.request import Request

from marketplace_api.domain.eventlog import stream_tickets
from marketplace_api.hal.eventlog import stream_tickets as represent
from marketplace_api.hal.representation import Representation
from marketplace_api.resources.eventlog.stream_tickets import TICKETS, StreamTicketsContext
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
    text = stream_tickets.issue_ticket(request.db, request.actor)
    return represent.ticket(text, stream_tickets.TICKET_SECONDS, request.registry.app_settings.realtime_url)


tickets.offer_form()
