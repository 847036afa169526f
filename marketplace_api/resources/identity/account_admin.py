"""``/api/admin``: accounts as those who look after the marketplace see and judge them."""

from __future__ import annotations

from typing import Any

from pyramid.authorization import Allow, Deny
from pyramid.request import Request

from marketplace_api.domain.identity.accounts import admin_search, lifecycle
from marketplace_api.errors import DomainError
from marketplace_api.resources.base import ACL, Context, identifier
from marketplace_api.security.permissions import Permission as P
from marketplace_api.security.principals import ADMIN, MODERATOR, STAFF, owner

_JUDGES = (MODERATOR, STAFF)


class AccountContext(Context):
    """``/api/admin/users/{user_id}``: an account in whatever state.

    Nobody judges themselves, nor anyone of their own rank or above; admins judge all others.
    """

    read_permission = P.ACCOUNT_INSPECT

    def __init__(self, request: Request, parent: Context | None, name: str, row: Any) -> None:
        super().__init__(request, parent, name)
        self.path = f"/api/admin/users/{name}"
        self.row = row

    @property
    def version(self) -> int:
        return int(self.row.version)

    def refreshed(self) -> AccountContext:
        """This account as it is in the database now."""
        row = admin_search.find_account(self.request.db, self.row.user_id)
        return AccountContext(self.request, self.__parent__, self.__name__, row)

    @property
    def __acl__(self) -> ACL:  # type: ignore[override]
        above = _JUDGES[lifecycle.rank(self.row.roles) :]
        return [
            (Deny, owner(self.row.user_id), (P.ACCOUNT_JUDGE, P.ACCOUNT_ROLES)),
            (Allow, MODERATOR, (P.ACCOUNT_INSPECT,)),
            *((Allow, judge, (P.ACCOUNT_JUDGE,)) for judge in above),
            (Allow, ADMIN, (P.ACCOUNT_JUDGE, P.ACCOUNT_ROLES)),
        ]

    def unavailable(self, operation: str) -> DomainError:
        return lifecycle.impossible(self.row.state, operation)


class AccountsContext(Context):
    """``/api/admin/users``."""

    __acl__ = [(Allow, MODERATOR, (P.ACCOUNT_INSPECT,))]

    def __getitem__(self, name: str) -> Context:
        row = admin_search.find_account(self.request.db, identifier(name))
        if row is None:
            raise KeyError(name)
        return AccountContext(self.request, self, name, row)
