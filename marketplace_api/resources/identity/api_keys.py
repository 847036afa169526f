"""``/api/admin/api-keys``: the keys with which programs call, for admins."""

from __future__ import annotations

from typing import Any

from pyramid.authorization import Allow
from pyramid.request import Request

from marketplace_api.domain.identity import api_keys
from marketplace_api.resources.base import Context, identifier
from marketplace_api.security.permissions import Permission
from marketplace_api.security.principals import ADMIN

API_KEYS = "/api/admin/api-keys"


class ApiKeyContext(Context):
    """``/api/admin/api-keys/{api_key_id}``."""

    __acl__ = [(Allow, ADMIN, (Permission.KEY_MANAGE,))]

    def __init__(self, request: Request, parent: Context | None, name: str, row: Any) -> None:
        super().__init__(request, parent, name)
        self.path = f"{API_KEYS}/{name}"
        self.row = row


class ApiKeysContext(Context):
    """``/api/admin/api-keys``."""

    __acl__ = [(Allow, ADMIN, (Permission.KEY_MANAGE,))]

    def __getitem__(self, name: str) -> Context:
        row = api_keys.find(self.request.db, identifier(name))
        if row is None:
            raise KeyError(name)
        return ApiKeyContext(self.request, self, name, row)
