"""The owners that an import names by e-mail address: finding their accounts and making those that are missing."""

from __future__ import annotations

import re
import secrets
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database.base import table_of
from marketplace_api.domain.identity.accounts import registration
from marketplace_api.domain.identity.accounts.config import AccountRules
from marketplace_api.domain.identity.accounts.queries import RESERVED_USERNAME
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.models.identity.accounts import User

SHORTEST_NAME, LONGEST_NAME = 3, 40
"""Of a user name made from an address; the longest leaves room for a number that makes it unique."""

NAMES_TRIED = 50

_u = table_of(User).c

# The database lowers both sides: Python's idea of lower case is not the index's.
_FIND = """
SELECT given.email, users.user_id, users.state
FROM unnest(CAST(:emails AS text[])) AS given (email) JOIN users ON lower(users.email) = lower(given.email)
ORDER BY users.user_id
"""
_FIND_ONLY = sa.text(_FIND)
_FIND_AND_HOLD = sa.text(f"{_FIND} FOR SHARE OF users")


@dataclass(frozen=True, slots=True)
class Owner:
    """An account; only an ``active`` one may get listings. ``user_id`` is ``None`` where a rehearsal would make it."""

    user_id: int | None
    state: str = "active"


def find(session: Session, emails: Collection[str], *, hold: bool = False) -> dict[str, Owner]:
    """The accounts of ``emails``, without those that have none.

    ``hold`` keeps them as they are until the transaction ends, so that no ban comes between the look at the account
    and the listing that it would have hidden.
    """
    found = session.execute(_FIND_AND_HOLD if hold else _FIND_ONLY, {"emails": list(emails)})
    return {email: Owner(user_id, state) for email, user_id, state in found}


def create_missing(
    session: Session, rules: AccountRules, actor: Actor, emails: Collection[str], known: Mapping[str, Owner]
) -> dict[str, Owner]:
    """Make an account for each of ``emails`` that is not ``known``; raises :class:`Conflict` if somebody was faster.

    Nobody can log in to it before its password was reset by mail; nobody is written to, and the address stays
    unconfirmed until its owner asks for the mail that confirms it.
    """
    made: dict[str, Owner] = {}
    for email in sorted(set(emails) - known.keys()):
        user = registration.create_account(
            session,
            rules,
            username=_free_username(session, email),
            email=email,
            password=None,
            roles=(),
            actor=actor,
            imported=True,
        )
        made[email] = Owner(user.user_id)
    return made


def _free_username(session: Session, email: str) -> str:
    """A user name after the local part of ``email`` that nobody has: ``ada``, else ``ada-2``, ``ada-3`` …"""
    candidates = [name for name in _candidates(_base_name(email)) if not RESERVED_USERNAME.fullmatch(name)]
    lowered = sa.func.lower(_u.username)
    wanted = [name.lower() for name in candidates]
    taken = set(session.execute(sa.select(lowered).where(lowered.in_(wanted))).scalars())
    return next(name for name in candidates if name.lower() not in taken)


def _candidates(base: str) -> Iterator[str]:
    yield base
    yield from (f"{base}-{number}" for number in range(2, NAMES_TRIED))
    yield f"{base}-{secrets.token_hex(4)}"


def _base_name(email: str) -> str:
    """The local part in the letters that user names are made of; what is too short says that it sells."""
    plain = unicodedata.normalize("NFKD", email.rpartition("@")[0]).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("._-")[:LONGEST_NAME].rstrip("._-")
    return name if len(name) >= SHORTEST_NAME else f"seller-{name}".rstrip("-")
