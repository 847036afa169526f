"""Who acts: a frozen value that every domain function can ask for id, roles and state."""

from __future__ import annotations

from dataclasses import dataclass, field

from marketplace_api.database.row_security import MODERATOR

MODERATION_ROLES = frozenset({"moderator", "staff", "admin"})


@dataclass(frozen=True, slots=True)
class Actor:
    """A caller, detached from any session; the anonymous one has no ``user_id``.

    ``state`` is ``active`` or ``suspended``: others cannot call. ``request_id`` goes into every event. A program has a
    ``key_id`` and the ``scopes`` of its key instead of an account.
    """

    user_id: int | None = None
    username: str = ""
    roles: frozenset[str] = field(default_factory=frozenset)
    state: str = "active"
    session_id: int | None = None
    request_id: str | None = None
    reason: str | None = None
    key_id: int | None = None
    scopes: frozenset[str] = frozenset()

    @property
    def caller(self) -> str:
        """One name for each account and each key, for what is counted by caller."""
        return f"key:{self.key_id}" if self.key_id is not None else f"user:{self.user_id}"

    @property
    def is_active(self) -> bool:
        return self.user_id is not None and self.state == "active"

    @property
    def moderates(self) -> bool:
        """Whether the roles include moderation; an admin may what staff may, staff what moderators may."""
        return self.state == "active" and not MODERATION_ROLES.isdisjoint(self.roles)

    @property
    def administers(self) -> bool:
        return self.state == "active" and "admin" in self.roles

    @property
    def powers(self) -> str:
        """What the policies of the database let the caller see beyond their own."""
        return MODERATOR if self.moderates else ""

    def owns(self, user_id: int) -> bool:
        return self.user_id is not None and self.user_id == user_id


ANONYMOUS = Actor()


def operator(name: str, reason: str | None = None, request_id: str | None = None) -> Actor:
    """The person at the command line or a job: all rights, no account."""
    return Actor(username=name, roles=frozenset({"admin"}), reason=reason, request_id=request_id)
