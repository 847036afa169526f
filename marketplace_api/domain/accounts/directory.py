"""Looking through the accounts, for operators and moderators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from marketplace_api.db import Reader
from marketplace_api.models.accounts import User

_u = User.__table__.c

COLUMNS = (
    _u.user_id, _u.username, _u.email, _u.roles, _u.state, _u.is_verified, _u.email_confirmed_at, _u.date_joined,
    _u.last_login,
)  # fmt: skip
"""What an operator sees of an account in a list."""


def list_accounts(
    db: Reader,
    *,
    search: str = "",
    role: str | None = None,
    state: str | None = None,
    limit: int = 50,
    after: int = 0,
) -> Sequence[Any]:
    """Accounts by id from after ``after`` on, at most ``limit``; ``search`` is a part of the name or the address."""
    statement = sa.select(*COLUMNS).where(_u.user_id > after).order_by(_u.user_id).limit(limit)
    if search:
        part = f"%{_literal(search.lower())}%"
        statement = statement.where(sa.or_(sa.func.lower(_u.username).like(part), sa.func.lower(_u.email).like(part)))
    if role is not None:
        statement = statement.where(_u.roles.contains([role]))
    if state is not None:
        statement = statement.where(_u.state == state)
    rows: Sequence[Any] = db.execute(statement).all()
    return rows


def _literal(text: str) -> str:
    """``text`` with nothing in it that LIKE would read as a pattern."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
