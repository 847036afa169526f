"""Pyramid's security policy: identity from the token, permission from the contexts' ACLs."""

from __future__ import annotations

from typing import Any

from pyramid.authorization import ACLHelper
from pyramid.request import Request

from marketplace_api.domain.actors import Actor
from marketplace_api.security.permissions import Permission
from marketplace_api.security.principals import principals_of

_ACL = ACLHelper()


class TokenSecurityPolicy:
    """The one place where a permission is decided; templates and links ask the same question through :func:`may`."""

    def identity(self, request: Request) -> Actor | None:
        actor: Actor = request.actor
        return actor if actor.user_id is not None else None

    def authenticated_userid(self, request: Request) -> int | None:
        return request.actor.user_id  # type: ignore[no-any-return]

    def permits(self, request: Request, context: Any, permission: str) -> Any:
        return _ACL.permits(context, principals_of(request.actor), permission)

    def remember(self, request: Request, userid: Any, **kw: Any) -> list[tuple[str, str]]:
        return []

    def forget(self, request: Request, **kw: Any) -> list[tuple[str, str]]:
        return []


def may(actor: Actor, context: Any, permission: Permission) -> bool:
    """Whether ``context`` grants ``permission`` to ``actor``."""
    return bool(_ACL.permits(context, principals_of(actor), permission))
