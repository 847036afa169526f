"""``/api/stream`` in the tree: the stream of events, which the realtime process serves, and tickets for it."""

from __future__ import annotations

from pyramid.authorization import Allow, Authenticated

from marketplace_api.resources.base import Branch, Context
from marketplace_api.security.permissions import Permission

PATH = "/api/stream"
TICKETS = "/api/stream/tickets"


class StreamTicketsContext(Context):
    """``/api/stream/tickets``."""

    __acl__ = [(Allow, Authenticated, (Permission.STREAM_OPEN,))]


class StreamContext(Branch):
    """``/api/stream``; who may read may listen."""

    __acl__ = [(Allow, Authenticated, (Permission.STREAM_OPEN,))]
    children = {"tickets": StreamTicketsContext}
