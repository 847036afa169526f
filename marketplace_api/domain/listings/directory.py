"""Looking through all listings, whatever their state, for operators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from marketplace_api.db import Reader, table_of
from marketplace_api.domain.listings import rows
from marketplace_api.errors import NotFound
from marketplace_api.models.accounts import User
from marketplace_api.models.listings import Listing

_t = table_of(Listing).c
_u = table_of(User).c

COLUMNS = (
    _t.listing_id, _t.title, _t.category, _t.price, _t.currency, _t.city, _t.status, _t.is_verified_listing,
    _t.user_id, _u.username, _u.email, _t.date_created, _t.deleted_at,
)  # fmt: skip
"""What an operator sees of a listing in a list."""


def list_listings(
    db: Reader, *, status: str | None = None, owner_id: int | None = None, category: str | None = None,
    limit: int = 50, after: int = 0,
) -> Sequence[Any]:  # fmt: skip
    """Listings by id from after ``after`` on, at most ``limit``, with those that were deleted."""
    statement = (
        sa.select(*COLUMNS).join(User, _u.user_id == _t.user_id).where(_t.listing_id > after)
        .order_by(_t.listing_id).limit(limit)
    )  # fmt: skip
    for column, wanted in ((_t.status, status), (_t.user_id, owner_id), (_t.category, category)):
        if wanted is not None:
            statement = statement.where(column == wanted)
    found: Sequence[Any] = db.execute(statement).all()
    return found


def describe(db: Reader, listing_id: int) -> dict[str, Any]:
    """All that is kept of one listing, whatever its state; raises :class:`NotFound`."""
    row = rows.find(db, listing_id)
    if row is None:
        raise NotFound(f"There is no listing {listing_id}.")
    return {column.name: getattr(row, column.name) for column in rows.COLUMNS}
