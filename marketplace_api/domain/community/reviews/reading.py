"""Reading the reviews of one listing or person, newest first, with the ratings that they make."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from marketplace_api.database.base import table_of
from marketplace_api.database.prepared import Prepared, Reader
from marketplace_api.domain.community.reviews import queries
from marketplace_api.domain.kernel.paging import Page, PageRequest, assemble, decode_cursor, fingerprint, offset_of
from marketplace_api.errors import NotFound
from marketplace_api.models.catalog.listings import Listing
from marketplace_api.models.community.reviews import Review
from marketplace_api.models.identity.accounts import User

_r = table_of(Review).c
_RATED = {"listing_id": table_of(Listing), "reviewee_id": table_of(User)}
_KEYS = {"listing_id": table_of(Listing).c.listing_id, "reviewee_id": table_of(User).c.user_id}


@dataclass(frozen=True, slots=True)
class Ratings:
    """What the standing reviews of a target come to; ``histogram`` counts 1, 2, 3, 4 and 5 stars."""

    count: int
    sum: int
    histogram: tuple[int, int, int, int, int]

    @property
    def average(self) -> float | None:
        """Stars, to two decimals; ``None`` without any rating."""
        return round(self.sum / self.count, 2) if self.count else None


def list_page(db: Reader, kind: str, target: int, page: PageRequest) -> tuple[Page, Ratings]:
    """The standing reviews of a target (``kind``: ``listing_id`` or ``reviewee_id``) as rows of ``queries.COLUMNS``.

    The total comes from the ratings, which the database keeps, so it costs nothing and is exact.
    Raises NotFound, and ``Invalid``: ``invalid_cursor``, ``page_too_deep``.
    """
    list_hash = fingerprint("reviews", kind, target)
    position = decode_cursor(page.cursor, list_hash, (int,)) if page.cursor else None
    values = {"target": target, "count": page.limit + 1, "offset": 0 if position else offset_of(page)}
    if position:
        values["key"] = position.keys[0]
    found = _statement(kind, position is not None, position is not None and position.backward).all(db, values)
    if not found:
        raise NotFound("What was reviewed is not there any more.")
    bars = found[0].rating_histogram
    ratings = Ratings(sum(bars), sum(star * number for star, number in enumerate(bars, 1)), tuple(bars))
    kept = [row for row in found if row.review_id is not None]
    return assemble(kept, page, position, list_hash, lambda row: (row.review_id,), total=ratings.count), ratings


LATEST = 3
"""So many reviews are shown inside a listing."""

_LATEST = Prepared(
    sa.select(*queries.COLUMNS)
    .select_from(queries.SOURCE)
    .where(_r.listing_id == sa.bindparam("target"), _r.deleted_at.is_(None))
    .order_by(_r.review_id.desc())
    .limit(LATEST)
)


def latest(db: Reader, listing_id: int) -> list[Any]:
    """The newest standing reviews of a listing, as rows of ``queries.COLUMNS``."""
    return _LATEST.all(db, {"target": listing_id})


@lru_cache(maxsize=8)
def _statement(kind: str, keyed: bool, backward: bool) -> Prepared:
    key = sa.bindparam("key", type_=sa.BigInteger)
    order = _r.review_id.asc() if backward else _r.review_id.desc()
    page = (
        sa.select(*queries.COLUMNS)
        .select_from(queries.SOURCE)
        .where(_r[kind] == sa.bindparam("target", type_=sa.BigInteger), _r.deleted_at.is_(None))
        .order_by(order)
        .limit(sa.bindparam("count", type_=sa.Integer))
        .offset(sa.bindparam("offset", type_=sa.Integer))
    )
    if keyed:
        page = page.where(_r.review_id > key if backward else _r.review_id < key)
    hits = page.subquery("page")
    rated = _RATED[kind]
    return Prepared(
        sa.select(rated.c.rating_histogram, *hits.c)
        .select_from(rated.outerjoin(hits, sa.true()))
        .where(_KEYS[kind] == sa.bindparam("target", type_=sa.BigInteger))
        .order_by(hits.c.review_id.asc() if backward else hits.c.review_id.desc())
    )
