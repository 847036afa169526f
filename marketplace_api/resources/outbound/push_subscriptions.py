"""The caller's browsers in the tree: ``/api/users/me/push-subscriptions``."""

from __future__ import annotations

from typing import Any

from pyramid.authorization import Allow, Authenticated
from pyramid.request import Request

from marketplace_api.domain.outbound.push_subscriptions import queries
from marketplace_api.errors import DomainError
from marketplace_api.resources.base import ACL, Context, identifier, known_caller
from marketplace_api.security.permissions import Permission as P
from marketplace_api.security.principals import CUSTOMER, owner, reader

SUBSCRIPTIONS = "/api/users/me/push-subscriptions"


class PushSubscriptionContext(Context):
    """One browser of the caller's; ``row`` is the light row that its representation is made from."""

    conceal = True
    read_permission = P.PUSH_READ

    def __init__(self, request: Request, parent: Context | None, name: str, row: Any) -> None:
        super().__init__(request, parent, name)
        self.path = f"{SUBSCRIPTIONS}/{name}"
        self.row = row

    @property
    def __acl__(self) -> ACL:  # type: ignore[override]
        return [(Allow, reader(self.row.user_id), (P.PUSH_READ,)), (Allow, owner(self.row.user_id), (P.PUSH_KEEP,))]


class PushSubscriptionsContext(Context):
    """``/api/users/me/push-subscriptions``."""

    __acl__ = [(Allow, Authenticated, (P.PUSH_READ,)), (Allow, CUSTOMER, (P.PUSH_KEEP,))]

    @property
    def public_key(self) -> str | None:
        """What browsers subscribe with; ``None`` where nothing is pushed."""
        key: str | None = self.request.registry.push_public_key
        return key

    def __getitem__(self, name: str) -> Context:
        user_id = known_caller(self.request, "subscriptions belong to an account")
        row = queries.find(self.request.db, user_id, identifier(name))
        if row is None:
            raise KeyError(name)
        return self.child(row)

    def child(self, row: Any) -> PushSubscriptionContext:
        """The context of a subscription whose row is already known."""
        return PushSubscriptionContext(self.request, self, str(row.subscription_id), row)

    def unavailable(self, operation: str) -> DomainError:
        return DomainError("Nothing is pushed here: the installation has no key.", code="not_supported")
