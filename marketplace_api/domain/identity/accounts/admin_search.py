"""Looking through the accounts, for operators and moderators.

An e-mail address is personal: who may not read it must not find it out by searching for its beginning either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from marketplace_api.database.prepared import Prepared, Reader
from marketplace_api.domain.identity.accounts.columns import OWN_COLUMNS
from marketplace_api.domain.kernel import paging
from marketplace_api.domain.kernel.paging import Page, PageRequest, assemble, decode_cursor, fingerprint, offset_of
from marketplace_api.models.identity.accounts import ROLES, STATES, User

_u = User.__table__.c

COLUMNS = (
    _u.user_id,
    _u.username,
    _u.email,
    _u.roles,
    _u.state,
    _u.is_verified,
    _u.email_confirmed_at,
    _u.date_joined,
    _u.last_login,
)
"""What an operator sees of an account in a list."""


def list_accounts(
    db: Reader,
    *,
    search: str = "",
    role: str | None = None,
    state: str | None = None,
    verified: bool | None = None,
    joined_since: datetime | None = None,
    limit: int = 50,
    after: int = 0,
) -> Sequence[Any]:
    """Accounts by id from after ``after`` on, at most ``limit``.

    ``search`` is a part of the name or the address; ``joined_since`` (aware) is the earliest time of joining.
    """
    statement = sa.select(*COLUMNS).where(_u.user_id > after).order_by(_u.user_id).limit(limit)
    if search:
        part = f"%{_literal(search.lower())}%"
        statement = statement.where(sa.or_(sa.func.lower(_u.username).like(part), sa.func.lower(_u.email).like(part)))
    if role is not None:
        statement = statement.where(_u.roles.contains([role]))
    if state is not None:
        statement = statement.where(_u.state == state)
    if verified is not None:
        statement = statement.where(_u.is_verified.is_(verified))
    if joined_since is not None:
        statement = statement.where(_u.date_joined >= joined_since)
    rows: Sequence[Any] = db.execute(statement).all()
    return rows


def _literal(text: str) -> str:
    """``text`` with nothing in it that LIKE would read as a pattern."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


JUDGED_COLUMNS = (*OWN_COLUMNS, _u.deactivated_at)
"""What a moderator's view of an account is made from."""

SORTS = {"date_joined": ("date_joined", datetime), "username": ("lower(username)", str)}

_FIND = sa.select(*JUDGED_COLUMNS).where(_u.user_id == sa.bindparam("user_id"))
_NAMES = ", ".join(f"users.{column.name}" for column in JUDGED_COLUMNS)
_HIGHEST = "\U0010ffff"  # sorts behind whatever else could follow


@dataclass(frozen=True, slots=True)
class Criteria:
    """Which accounts, in which order.

    ``search`` is the beginning of a user name or, for whoever ``sees_addresses``, of an e-mail address; for others
    the whole address. A search stops looking after ``paging.TOTAL_CAP`` names and as many addresses that begin so.
    """

    search: str = ""
    sees_addresses: bool = False
    state: str | None = None
    role: str | None = None
    verified: bool | None = None
    sort: str = "date_joined"
    descending: bool = True


def find_account(db: Reader, user_id: int) -> Any | None:
    """The row of an account in whatever state, with :data:`JUDGED_COLUMNS`, or ``None``."""
    return db.execute(_FIND, {"user_id": user_id}).first()


def masked(email: str | None) -> str | None:
    """What somebody is told of an address who may not read it: enough to compare it with one that they were given."""
    if email is None:
        return None
    name, _, domain = email.partition("@")
    return f"{name[:1]}***@{domain[:1]}***.{domain.rpartition('.')[2]}"


def list_page(db: Reader, wanted: Criteria, page: PageRequest) -> Page:
    """One part of the accounts, as rows of :data:`JUDGED_COLUMNS`.

    Raises ``Invalid``: ``invalid_cursor``, ``page_too_deep``.
    """
    list_hash = fingerprint("accounts", wanted)
    kind = SORTS[wanted.sort][1]
    position = decode_cursor(page.cursor, list_hash, (kind, int)) if page.cursor else None
    values: dict[str, Any] = {
        "count": page.limit + 1,
        "offset": 0 if position else offset_of(page),
        "cap": paging.TOTAL_CAP + 1,
        "search": wanted.search,
        "beyond": wanted.search + _HIGHEST,
    }
    if position:
        values |= {"key": position.keys[0], "user_id": position.keys[1]}
    backward = position is not None and position.backward
    lookup = (True, wanted.sees_addresses) if wanted.search else (False, False)
    statement = _statement(_filters(wanted), lookup, wanted.sort, wanted.descending != backward, position is not None)
    found = statement.all(db, values)
    kept = [row for row in found if row.user_id is not None]
    return assemble(kept, page, position, list_hash, lambda row: (row.sort_key, row.user_id), total=found[0].total)


def _filters(wanted: Criteria) -> str:
    """Constants, not parameters: so the planner sees which of them few accounts meet."""
    met = ["true"]
    if wanted.state in STATES:
        met.append(f"state = '{wanted.state}'")
    if wanted.role in ROLES[1:]:  # everyone is a customer
        met.append(f"roles @> ARRAY['{wanted.role}']")
    if wanted.verified is not None:
        met.append("is_verified" if wanted.verified else "NOT is_verified")
    return " AND ".join(met)


def _matching(filters: str, by_beginning: bool) -> str:
    """The ids that a search finds: through the one index and the other, which no single condition could."""
    address = _beginning("email") if by_beginning else "lower(email) = lower(:search)"
    found = (
        f"(SELECT user_id FROM users WHERE {filters} AND {condition} LIMIT :cap)"  # noqa: S608  made of constants only
        for condition in (_beginning("username"), address)
    )
    return " UNION ".join(found)


def _beginning(column: str) -> str:
    return f"lower({column}) ~>=~ lower(:search) AND lower({column}) ~<~ lower(:beyond)"


@lru_cache(maxsize=256)
def _statement(filters: str, lookup: tuple[bool, bool], sort: str, descending: bool, keyed: bool) -> Prepared:
    key, kind = SORTS[sort]
    comparison, direction = ("<", "DESC") if descending else (">", "ASC")
    cast = "timestamptz" if kind is datetime else "text"
    beyond = f"({key}, users.user_id) {comparison} (CAST(:key AS {cast}), :user_id)" if keyed else "true"
    is_search, by_beginning = lookup
    plain = f"SELECT user_id FROM users WHERE {filters} LIMIT :cap"  # noqa: S608  made of constants only
    hits = _matching(filters, by_beginning) if is_search else plain
    # OFFSET 0 keeps the planner from a join that reads through all accounts.
    each = "LATERAL (SELECT * FROM users WHERE users.user_id = hits.user_id OFFSET 0) AS users"
    source = f"hits CROSS JOIN {each}" if is_search else "users"
    return Prepared(
        sa.text(
            f"""
        WITH hits AS ({hits}), counted AS (SELECT count(*) AS total FROM hits), page AS (
            SELECT {_NAMES}, {key} AS sort_key FROM {source} WHERE {filters} AND {beyond}
            ORDER BY {key} {direction}, users.user_id {direction} LIMIT :count OFFSET :offset
        )
        SELECT page.*, counted.total FROM counted LEFT JOIN page ON true
        ORDER BY page.sort_key {direction}, page.user_id {direction}
        """  # noqa: S608  made of constants only
        )
    )
