"""Looking through all reviews, deleted ones too, for operators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from marketplace_api.database.base import table_of
from marketplace_api.database.prepared import Reader
from marketplace_api.domain.community.reviews import queries
from marketplace_api.errors import NotFound
from marketplace_api.models.community.reviews import Review
from marketplace_api.models.trust.reports import Report

_t, _reports = table_of(Review).c, table_of(Report).c

_REPORTED = sa.exists(
    sa.select(sa.literal_column("1")).where(_reports.subject_type == "review", _reports.subject_id == _t.review_id)
)


@dataclass(frozen=True, slots=True)
class Criteria:
    """Which reviews: all of these at once. ``reported`` ones were reported at least once."""

    status: str | None = None
    reviewer_id: int | None = None
    listing_id: int | None = None
    reviewee_id: int | None = None
    rating: int | None = None
    reported: bool = False
    since: datetime | None = None


def list_page(db: Reader, wanted: Criteria, *, limit: int = 50, before: int | None = None) -> Sequence[Any]:
    """Reviews by id, the newest first, at most ``limit``, below the id ``before``; rows of ``queries.COLUMNS``."""
    # The page is chosen before anything is joined to it.
    chosen = sa.select(_t.review_id).order_by(_t.review_id.desc()).limit(limit)
    for name in ("reviewer_id", "listing_id", "reviewee_id", "rating"):
        if getattr(wanted, name) is not None:
            chosen = chosen.where(_t[name] == getattr(wanted, name))
    if before is not None:
        chosen = chosen.where(_t.review_id < before)
    if wanted.status is not None:
        deleted = _t.deleted_at.is_not(None)
        chosen = chosen.where(deleted if wanted.status == "deleted" else ~deleted)
    if wanted.reported:
        chosen = chosen.where(_REPORTED)
    if wanted.since is not None:
        chosen = chosen.where(_t.date_posted >= wanted.since)
    statement = (
        sa.select(*queries.COLUMNS)
        .select_from(queries.SOURCE)
        .where(_t.review_id.in_(chosen.scalar_subquery()))
        .order_by(_t.review_id.desc())
    )
    found: Sequence[Any] = db.execute(statement).all()
    return found


def find(db: Reader, review_id: int) -> Any:
    """One review, whatever its state; raises NotFound."""
    row = queries.find(db, review_id)
    if row is None:
        raise NotFound(f"There is no review {review_id}.")
    return row
