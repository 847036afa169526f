"""``/api/admin/webhooks``: who is told of events, and what they were told; for admins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyramid.authorization import Allow
from pyramid.request import Request

from marketplace_api.domain.outbound.webhooks import endpoints, queries
from marketplace_api.errors import DomainError, Forbidden
from marketplace_api.resources.base import ACL, Context, identifier, known_caller
from marketplace_api.security.permissions import Permission as P
from marketplace_api.security.principals import ADMIN

_GRANTS: ACL = [(Allow, ADMIN, (P.WEBHOOK_READ, P.WEBHOOK_MANAGE))]


class DeliveryContext(Context):
    """``/api/admin/webhooks/{endpoint_id}/deliveries/{delivery_id}``."""

    __acl__ = _GRANTS

    def __init__(self, request: Request, parent: Any, name: str, row: Any, endpoint: Any) -> None:
        super().__init__(request, parent, name)
        self.path = f"/api/admin/webhooks/{endpoint.endpoint_id}/deliveries/{name}"
        self.row = row
        self.endpoint = endpoint

    def unavailable(self, operation: str) -> DomainError:
        return endpoints.refused(self.endpoint, operation)


class DeliveriesContext(Context):
    """``/api/admin/webhooks/{endpoint_id}/deliveries``."""

    __acl__ = _GRANTS

    def __getitem__(self, name: str) -> Context:
        endpoint = self.__parent__.row  # type: ignore[union-attr]
        row = queries.find_delivery(self.request.db, endpoint.endpoint_id, identifier(name))
        if row is None:
            raise KeyError(name)
        return DeliveryContext(self.request, self, name, row, endpoint)


class WebhookContext(Context):
    """``/api/admin/webhooks/{endpoint_id}``."""

    __acl__ = _GRANTS

    def __init__(self, request: Request, parent: Context | None, name: str, row: Any) -> None:
        super().__init__(request, parent, name)
        self.path = f"/api/admin/webhooks/{name}"
        self.row = row

    def __getitem__(self, name: str) -> Context:
        if name != "deliveries":
            raise KeyError(name)
        return DeliveriesContext(self.request, self, name)

    @property
    def version(self) -> int:
        return int(self.row.version)

    @property
    def stored_fields(self) -> Mapping[str, Any]:
        return {name: getattr(self.row, name) for name in ("url", "description")}

    def with_row(self, row: Any) -> WebhookContext:
        """The same place in the tree with a newer row."""
        return WebhookContext(self.request, self.__parent__, self.__name__, row)

    def refreshed(self) -> WebhookContext:
        """This endpoint as it is in the database now."""
        return self.with_row(queries.find(self.request.db, self.row.endpoint_id))

    def unavailable(self, operation: str) -> DomainError:
        return endpoints.refused(self.row, operation)


class WebhooksContext(Context):
    """``/api/admin/webhooks``."""

    __acl__ = _GRANTS

    def __getitem__(self, name: str) -> Context:
        known_caller(self.request, "webhooks are for admins")
        if not self.request.actor.administers:  # which there are is nobody else's business
            raise Forbidden("Webhooks are for admins.")
        row = queries.find(self.request.db, identifier(name))
        if row is None:
            raise KeyError(name)
        return WebhookContext(self.request, self, name, row)

    def child(self, row: Any) -> WebhookContext:
        """The context of an endpoint whose row is already known."""
        return WebhookContext(self.request, self, str(row.endpoint_id), row)
