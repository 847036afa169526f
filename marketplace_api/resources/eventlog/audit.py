"""``/api/audit``: the event log, for admins."""

from __future__ import annotations

from typing import Any

from pyramid.authorization import Allow
from pyramid.request import Request

from marketplace_api.domain.eventlog import audit
from marketplace_api.resources.base import Context, identifier
from marketplace_api.security.permissions import Permission
from marketplace_api.security.principals import ADMIN


class EventContext(Context):
    """``/api/audit/{event_id}``."""

    __acl__ = [(Allow, ADMIN, (Permission.AUDIT_READ,))]

    def __init__(self, request: Request, parent: Context | None, name: str, row: Any) -> None:
        super().__init__(request, parent, name)
        self.row = row


class AuditContext(Context):
    """``/api/audit``."""

    __acl__ = [(Allow, ADMIN, (Permission.AUDIT_READ,))]

    def __getitem__(self, name: str) -> Context:
        row = audit.find(self.request.db, identifier(name))
        if row is None:
            raise KeyError(name)
        return EventContext(self.request, self, name, row)
