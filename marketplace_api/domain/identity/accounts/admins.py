"""The last active admin stays one: without any, nobody could make another but at the command line."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database.base import table_of
from marketplace_api.database.prepared import Reader
from marketplace_api.errors import Conflict
from marketplace_api.models.identity.accounts import User

_u = table_of(User).c
# Two who take away one admin each take turns, so that the second sees what the first did.
_TAKE_TURNS = sa.text("SELECT pg_advisory_xact_lock(7405004)")
_ACTIVE = sa.and_(_u.roles.contains(["admin"]), _u.state == "active")


def is_active(account: Any) -> bool:
    """Whether this account (its ``roles`` and ``state`` tell) is an active admin."""
    return account.state == "active" and "admin" in account.roles


def count(db: Reader) -> int:
    """How many active admins there are."""
    return int(db.execute(sa.select(sa.func.count()).where(_ACTIVE)).scalar_one())


def is_last(db: Reader, account: Any) -> bool:
    """Whether there would be no active admin without this account."""
    return is_active(account) and not db.execute(_others(account.user_id)).scalar_one()


def take_turns(session: Session, user_ids: Collection[int]) -> None:
    """Wait for others who take away an admin, if any of these accounts is one; to be called before accounts are locked,
    so that nobody waits in a circle."""
    named = sa.bindparam("user_ids", value=list(user_ids), type_=sa.ARRAY(sa.BigInteger))
    if session.execute(sa.select(sa.exists().where(_u.user_id == sa.any_(named), _ACTIVE))).scalar_one():
        session.execute(_TAKE_TURNS)


def require_another(session: Session, account: Any) -> None:
    """Raise :class:`Conflict` ``last_admin`` unless the locked ``account`` can do without being an active admin."""
    if not is_active(account):
        return
    session.execute(_TAKE_TURNS)  # held already, but by who has become an admin in the last moment
    if is_last(session, account):
        raise last_admin()


def last_admin() -> Conflict:
    """The sentence is the same for all accounts, for batches count by it."""
    return Conflict("This is the last active admin; give another account the role admin first.", "last_admin")


def _others(user_id: int) -> sa.Select[Any]:
    return sa.select(sa.exists().where(_ACTIVE, _u.user_id != user_id))
