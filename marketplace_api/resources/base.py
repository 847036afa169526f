"""What all contexts share: their place in the tree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pyramid.authorization import Allow, Everyone
from pyramid.request import Request

from marketplace_api.database.base import BIGINT_MAX
from marketplace_api.errors import Conflict, DomainError, Unauthenticated

ACL = list[tuple[str, str, tuple[str, ...]]]
"""Entries of Allow or Deny, a principal and the permissions; the first that fits decides."""


class Context:
    """A node of the tree. ``path`` is its address; ``conceal`` makes a refusal look like absence (404).

    ``fills`` are fields that are settled where its operations are offered: their value, or ``None`` for one that has
    no place there.
    """

    __acl__: ACL = []
    conceal: ClassVar[bool] = False
    fills: Mapping[str, Any] = {}

    def __init__(self, request: Request, parent: Context | None, name: str) -> None:
        self.request = request
        self.__parent__ = parent
        self.__name__ = name
        self.path: str = f"{parent.path if parent is not None else ''}/{name}" if name else ""

    def __getitem__(self, name: str) -> Context:
        raise KeyError(name)

    @classmethod
    def seen_from(cls, page: Context, path: str) -> Context:
        """The context of this class that an operation at ``path`` acts on when it is offered on ``page``."""
        return cls(page.request, page, path.rsplit("/", 1)[-1])

    @property
    def stored_fields(self) -> Mapping[str, Any]:
        """Text that is kept here, by its names in the API: it may be sent back as it is, whatever is asked of new text."""
        return {}

    def refusal(self) -> DomainError | None:
        """A better answer than 403 for a caller who may not do what they tried; ``None`` for the plain one."""
        return None

    def unavailable(self, operation: str) -> DomainError:
        """The refusal of an operation that the caller may run, but not in the present state."""
        return Conflict(f"The operation `{operation}` is not possible now.", code="wrong_state")


class Branch(Context):
    """A node with a fixed set of children."""

    children: ClassVar[dict[str, type[Context]]] = {}

    def __getitem__(self, name: str) -> Context:
        return self.children[name](self.request, self, name)


def identifier(name: str) -> int:
    """A positive bigint from a path segment; anything else is simply not there (``KeyError``)."""
    if not (name.isascii() and name.isdigit()) or len(name) > 19 or name[0] == "0":
        raise KeyError(name)
    number = int(name)
    if number > BIGINT_MAX:
        raise KeyError(name)
    return number


def known_caller(request: Request, why: str) -> int:
    """The caller's user id, for branches that hold each caller's own things; who is not known is told ``why`` (401)."""
    user_id: int | None = request.actor.user_id
    if user_id is None:
        raise Unauthenticated(f"Log in first: {why}.")
    return user_id


def everyone(*permissions: str) -> ACL:
    """An ACL that grants ``permissions`` to all, known or not."""
    return [(Allow, Everyone, permissions)]
