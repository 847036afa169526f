"""The light rows that reading a listing gives: named columns, no mapped objects."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database.base import table_of
from marketplace_api.database.prepared import Prepared, Reader
from marketplace_api.errors import Gone, NotFound, PreconditionFailed
from marketplace_api.models.catalog.listings import Listing

_t = table_of(Listing).c

COLUMNS = (
    _t.listing_id,
    _t.user_id,
    _t.title,
    _t.description,
    _t.category,
    _t.price,
    _t.currency,
    _t.address,
    _t.city,
    _t.state,
    _t.zip,
    _t.country,
    _t.latitude,
    _t.longitude,
    _t.photos_urls,
    _t.photo_count,
    _t.has_video,
    _t.amenities,
    _t.status,
    _t.suspended_from,
    _t.status_reason,
    _t.is_verified_listing,
    _t.review_requested_at,
    _t.owner_hidden,
    _t.rating_count,
    _t.rating_sum,
    _t.date_created,
    _t.date_updated,
    _t.deleted_at,
    _t.version,
    _t.is_public,
)
"""What every representation of a listing is made from."""

_FIND = sa.select(*COLUMNS).where(_t.listing_id == sa.bindparam("listing_id"))
_FIND_PREPARED = Prepared(_FIND)


def find(db: Reader, listing_id: int) -> Any | None:
    """The row of one listing in whatever state, or ``None``; the caller asks the ACL who may see it."""
    return _FIND_PREPARED.first(db, {"listing_id": listing_id})


def lock(session: Session, listing_id: int, expected_version: int | None) -> Any:
    """The row, held until the transaction ends.

    Raises NotFound, Gone for a deleted one, and PreconditionFailed when its version is not the expected one.
    """
    row = session.execute(_FIND.with_for_update(), {"listing_id": listing_id}).first()
    if row is None:
        raise NotFound("There is no such listing.")
    if row.deleted_at is not None:
        raise Gone("This listing was deleted.")
    require_version(row.version, expected_version)
    return row


def require_version(present: int, expected: int | None) -> None:
    """Raises PreconditionFailed unless ``expected`` is ``None`` or the present version."""
    if expected is not None and expected != present:
        raise PreconditionFailed("It changed since you read it; `current` shows what it is now.")


def standing(db: Reader, listing_ids: Collection[int]) -> frozenset[int]:
    """Those of these listings that are not deleted."""
    if not listing_ids:
        return frozenset()
    statement = sa.select(Listing.listing_id).where(
        Listing.listing_id == sa.any_(sa.bindparam("ids", type_=sa.ARRAY(sa.BigInteger()))),
        Listing.deleted_at.is_(None),
    )
    return frozenset(db.execute(statement, {"ids": sorted(listing_ids)}).scalars())
