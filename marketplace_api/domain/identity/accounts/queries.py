"""Finding and locking the rows of accounts, and keeping names and addresses unique."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from marketplace_api.database import row_security
from marketplace_api.database.base import BIGINT_MAX
from marketplace_api.domain.kernel.registries import OWNER_EFFECTS
from marketplace_api.errors import Conflict, FieldError, NotFound
from marketplace_api.models.identity.accounts import OneTimeToken, User

LIVING = ("active", "suspended")
"""The states in which an account may act (a suspended one only reads and appeals)."""
RECOVERABLE = (*LIVING, "deactivated")
"""The states in which what mails link to works."""
UNDO_EMAIL = "undo_email"
"""The purpose of tokens that bring a former e-mail address back."""

# Erased accounts are called so; nobody else may be.
RESERVED_USERNAME = re.compile(r"deleted-[0-9]+", re.IGNORECASE)

_UNIQUE_INDEXES = {"uq_users_username": "username", "uq_users_email": "email"}
_TAKEN_MESSAGES = {
    "username": "This user name is taken; choose another.",
    "email": "There is an account with this e-mail address; log in, or reset its password.",
}

_u = User.__table__.c


def _taken_by_another(column: sa.ColumnElement[str], name: str) -> sa.ColumnElement[bool]:
    given = sa.func.lower(sa.bindparam(name, type_=sa.String))
    other = _u.user_id != sa.bindparam("user_id", type_=sa.BigInteger)
    return sa.exists(sa.select(1).where(sa.func.lower(column) == given, other))


# The database lowers both sides: Python's idea of lower case is not the index's.
_t = OneTimeToken.__table__.c
# A former address is its account's as long as that may have it back.
_KEPT = sa.exists(
    sa.select(1).where(
        sa.func.lower(_t.email) == sa.func.lower(sa.bindparam("email", type_=sa.String)),
        _t.purpose == sa.literal_column(f"'{UNDO_EMAIL}'"),
        _t.used_at.is_(None),
        _t.expires_at > sa.func.now(),
        _t.user_id != sa.bindparam("user_id", type_=sa.BigInteger),
    )
)
_TAKEN = sa.select(
    _taken_by_another(_u.username, "username").label("username"),
    sa.or_(_taken_by_another(_u.email, "email"), _KEPT).label("email"),
)


def lock_user(session: Session, user_id: int) -> tuple[User, datetime]:
    """The account, locked against other changes until the transaction ends, and the time by the database
    (UTC).

    Whoever changes an account and its sessions or tokens locks the account first; so they meet in one order
    and never wait for each other in a circle. Raises :class:`NotFound`.
    """
    statement = (
        sa.select(User, sa.func.now())
        .where(User.user_id == user_id)
        .with_for_update(key_share=True, of=User)
        .execution_options(populate_existing=True)
    )
    found = session.execute(statement).one_or_none() if 0 < user_id <= BIGINT_MAX else None
    if found is None:
        raise NotFound("There is no such account.")
    return found[0], found[1]


def require_free(session: Session, *, username: str | None, email: str | None, user_id: int = 0) -> None:
    """Raise :class:`Conflict` ``already_taken`` with every one of the two that another than ``user_id`` has."""
    with row_security.elevated(session):
        row = session.execute(_TAKEN, {"username": username, "email": email, "user_id": user_id}).one()
    names = [name for name in ("username", "email") if getattr(row, name)]
    if username is not None and RESERVED_USERNAME.fullmatch(username) and "username" not in names:
        names.insert(0, "username")
    if names:
        raise _already_taken(names)


@contextmanager
def keeping_unique(session: Session, *, username: str | None, email: str | None, user_id: int = 0) -> Iterator[None]:
    """Flush what the block changed; where another transaction was first, raise as :func:`require_free` does."""
    try:
        with session.begin_nested():
            yield
            session.flush()
    except IntegrityError as error:
        index = getattr(getattr(error.orig, "diag", None), "constraint_name", None)
        if index not in _UNIQUE_INDEXES:
            raise
        require_free(session, username=username, email=email, user_id=user_id)
        raise _already_taken([_UNIQUE_INDEXES[index]]) from error


def hide_belongings(session: Session, user_id: int, *, hidden: bool) -> None:
    """Take what an account has out of public view, or put it back: whatever contexts have registered."""
    for effect in OWNER_EFFECTS:
        effect.hide(session, user_id, hidden)


def _already_taken(names: list[str]) -> Conflict:
    return Conflict(
        f"Already taken: {', '.join(names)}.",
        "already_taken",
        [FieldError("body", name, "already_taken", _TAKEN_MESSAGES[name]) for name in names],
    )
