"""The names that ACLs grant to, computed from the caller."""

from __future__ import annotations

from functools import lru_cache

from pyramid.authorization import Authenticated, Everyone

from marketplace_api.domain.kernel.actors import Actor

MODERATOR = "role:moderator"
STAFF = "role:staff"
ADMIN = "role:admin"
CUSTOMER = "role:customer"
MONITOR = "role:monitor"

# An admin may do what staff may, staff what moderators may.
_IMPLIED = {"admin": (ADMIN, STAFF, MODERATOR), "staff": (STAFF, MODERATOR), "moderator": (MODERATOR,)}
_UNKNOWN = (Everyone,)


def owner(user_id: int) -> str:
    """The account itself, as long as it may act."""
    return f"owner:{user_id}"


def reader(user_id: int) -> str:
    """The account itself, also while it is suspended and may only read."""
    return f"reader:{user_id}"


def key(scope: str) -> str:
    """A program whose API key has this scope."""
    return f"key:{scope}"


def principals_of(actor: Actor) -> tuple[str, ...]:
    """What the caller is, for the ACLs; a suspended account keeps only what reading needs, and a program is not even
    everyone: it has what its key is for."""
    if actor.user_id is None:
        if actor.key_id is not None:
            return tuple(sorted(map(key, actor.scopes)))
        return (Everyone, *(f"role:{role}" for role in actor.roles)) if actor.roles else _UNKNOWN
    return _principals(actor.user_id, actor.roles, actor.state)


@lru_cache(maxsize=4096)
def _principals(user_id: int, roles: frozenset[str], state: str) -> tuple[str, ...]:
    known = (Everyone, Authenticated, reader(user_id))
    if state != "active":
        return known
    granted = {principal for role in roles for principal in _IMPLIED.get(role, (f"role:{role}",))}
    return (*known, owner(user_id), *sorted(granted | {CUSTOMER}))
