"""Looking through all listings, whatever their state, for operators."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from marketplace_api.database.base import table_of
from marketplace_api.database.prepared import Reader
from marketplace_api.domain.catalog import categories
from marketplace_api.domain.catalog.listings import queries
from marketplace_api.errors import FieldError, Invalid, NotFound
from marketplace_api.models.catalog.listings import Listing
from marketplace_api.models.identity.accounts import User

_t = table_of(Listing).c
_u = table_of(User).c

COLUMNS = (
    _t.listing_id,
    _t.title,
    _t.category,
    _t.price,
    _t.currency,
    _t.city,
    _t.status,
    _t.is_verified_listing,
    _t.user_id,
    _u.username,
    _u.email,
    _t.date_created,
    _t.deleted_at,
)
"""What an operator sees of a listing in a list."""

DELETED = "deleted"

_OWNER = sa.select(_u.username, _u.email, _u.state.label("owner_state")).where(_u.user_id == sa.bindparam("user_id"))


def list_listings(
    db: Reader,
    *,
    status: str | None = None,
    owner_id: int | None = None,
    category: str | None = None,
    search: str = "",
    created_since: datetime | None = None,
    limit: int = 50,
    after: int = 0,
) -> Sequence[Any]:
    """Listings by id from after ``after`` on, at most ``limit``, with those that were deleted.

    ``status`` is one of the workflow, of those that are there, or ``deleted``; ``category`` counts with all below it;
    ``search`` is a part of the title or the description; ``created_since`` (aware) the earliest time. Raises
    :class:`Invalid` for a category that does not exist.
    """
    statement = (
        sa.select(*COLUMNS)
        .join(User, _u.user_id == _t.user_id)
        .where(_t.listing_id > after)
        .order_by(_t.listing_id)
        .limit(limit)
    )
    if status == DELETED:
        statement = statement.where(_t.deleted_at.is_not(None))
    elif status is not None:
        statement = statement.where(_t.status == status, _t.deleted_at.is_(None))
    if owner_id is not None:
        statement = statement.where(_t.user_id == owner_id)
    if category is not None:
        statement = statement.where(_t.category.in_(_subtree(db, category)))
    if search:
        found_in = (column.icontains(search, autoescape=True) for column in (_t.title, _t.description))
        statement = statement.where(sa.or_(*found_in))
    if created_since is not None:
        statement = statement.where(_t.date_created >= created_since)
    found: Sequence[Any] = db.execute(statement).all()
    return found


def describe(db: Reader, listing_id: int) -> dict[str, Any]:
    """All that is kept of one listing, whatever its state, and whose it is; raises :class:`NotFound`."""
    row = queries.find(db, listing_id)
    if row is None:
        raise NotFound(f"There is no listing {listing_id}.")
    owner = db.execute(_OWNER, {"user_id": row.user_id}).one()
    return {column.name: getattr(row, column.name) for column in queries.COLUMNS} | dict(owner._mapping)


def _subtree(db: Reader, category: str) -> tuple[str, ...]:
    found = categories.descendants(db, category)
    if not found:
        message = f"There is no category {category!r}."
        raise Invalid(message, errors=[FieldError("body", "category", "unknown_category", message)])
    return found
