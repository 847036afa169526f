"""``/api/events``: the event log as a feed, for admins and for programs with a key for it."""

from __future__ import annotations

from typing import Any

from pyramid.authorization import Allow
from pyramid.request import Request

from marketplace_api.domain.eventlog import audit
from marketplace_api.resources.base import ACL, Context, identifier
from marketplace_api.security.permissions import Permission
from marketplace_api.security.principals import ADMIN, key

_READERS: ACL = [(Allow, ADMIN, (Permission.EVENT_READ,)), (Allow, key("events:read"), (Permission.EVENT_READ,))]


class FedEventContext(Context):
    """``/api/events/{event_id}``."""

    __acl__ = _READERS

    def __init__(self, request: Request, parent: Context | None, name: str, row: Any) -> None:
        super().__init__(request, parent, name)
        self.row = row


class FeedContext(Context):
    """``/api/events``."""

    __acl__ = _READERS

    def __getitem__(self, name: str) -> Context:
        row = audit.find(self.request.db, identifier(name))
        if row is None:
            raise KeyError(name)
        return FedEventContext(self.request, self, name, row)
