"""The caller's telephone number in the tree: ``/api/users/me/phone``."""

from __future__ import annotations

from typing import Any

from pyramid.authorization import Allow

from marketplace_api.domain.outbound.phones import confirmation, queries
from marketplace_api.errors import DomainError
from marketplace_api.resources.base import ACL, Context
from marketplace_api.resources.reify import reify
from marketplace_api.security.permissions import Permission as P
from marketplace_api.security.principals import owner, reader

PHONE = "/api/users/me/phone"


class PhoneContext(Context):
    """The number that the caller has confirmed, and one that waits; nothing for callers who are not known."""

    read_permission = P.PHONE_READ

    @reify
    def row(self) -> Any:
        """The light row that the representation is made from."""
        return queries.find(self.request.db, self.request.actor.user_id)

    @reify
    def is_stopped(self) -> bool:
        """Whether the holder of the confirmed number answered STOP."""
        number, rules = self.row.number, self.request.registry.account_rules
        return number is not None and queries.is_stopped(self.request.db, rules, number)

    @property
    def is_empty(self) -> bool:
        return self.row.number is None and self.row.waiting_number is None

    @property
    def awaits_code(self) -> bool:
        """Whether a code was sent that can still be told."""
        return bool(self.row.is_sent)

    @property
    def __acl__(self) -> ACL:  # type: ignore[override]
        user_id = self.request.actor.user_id
        if user_id is None:
            return []
        return [(Allow, reader(user_id), (P.PHONE_READ,)), (Allow, owner(user_id), (P.PHONE_CHANGE,))]

    def refreshed(self) -> PhoneContext:
        """The number as it is in the database now."""
        return PhoneContext(self.request, self.__parent__, self.__name__)

    def unavailable(self, operation: str) -> DomainError:
        return confirmation.nothing_waits() if operation == "confirm-phone" else super().unavailable(operation)
