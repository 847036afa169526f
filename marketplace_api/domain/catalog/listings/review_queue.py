"""Listings that wait for a moderator's word on their badge, the longest waiting first."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from marketplace_api.database.prepared import Prepared, Reader
from marketplace_api.domain.catalog.listings import queries
from marketplace_api.domain.kernel import paging
from marketplace_api.domain.kernel.paging import Page, PageRequest, assemble, decode_cursor, fingerprint, offset_of
from marketplace_api.models.catalog.listings import IS_WAITING, WAITING_SINCE

_LIST_HASH = fingerprint("waiting listings")
_COLUMNS = ", ".join(column.name for column in queries.COLUMNS)
_HITS = f"SELECT FROM listings WHERE {IS_WAITING} LIMIT :cap"
_COUNT = f"SELECT count(*) AS total FROM ({_HITS}) AS hits"  # noqa: S608  made of constants only
_COUNTED = Prepared(sa.text(_COUNT))


def waiting(db: Reader) -> int:
    """How many there are, counted to one beyond ``paging.TOTAL_CAP``."""
    number: int = _COUNTED.scalar(db, {"cap": paging.TOTAL_CAP + 1})
    return number


def list_page(db: Reader, page: PageRequest) -> Page:
    """One part of them, as rows of ``queries.COLUMNS``. Raises ``Invalid``: ``invalid_cursor``, ``page_too_deep``."""
    position = decode_cursor(page.cursor, _LIST_HASH, (datetime, int)) if page.cursor else None
    values: dict[str, Any] = {
        "count": page.limit + 1,
        "offset": 0 if position else offset_of(page),
        "cap": paging.TOTAL_CAP + 1,
    }
    if position:
        values |= {"since": position.keys[0], "listing_id": position.keys[1]}
    found = _statement(position is not None, position is not None and position.backward).all(db, values)
    kept = [row for row in found if row.listing_id is not None]
    return assemble(
        kept, page, position, _LIST_HASH, lambda row: (row.waiting_since, row.listing_id), total=found[0].total
    )


@lru_cache(maxsize=4)
def _statement(keyed: bool, backward: bool) -> Prepared:
    comparison, direction = ("<", "DESC") if backward else (">", "ASC")
    beyond = f"({WAITING_SINCE}, listing_id) {comparison} (CAST(:since AS timestamptz), :listing_id)"
    return Prepared(
        sa.text(
            f"""
        WITH counted AS ({_COUNT}), page AS (
            SELECT {_COLUMNS}, {WAITING_SINCE} AS waiting_since FROM listings
            WHERE {IS_WAITING} AND {beyond if keyed else "true"}
            ORDER BY {WAITING_SINCE} {direction}, listing_id {direction} LIMIT :count OFFSET :offset
        )
        SELECT page.*, counted.total FROM counted LEFT JOIN page ON true
        ORDER BY page.waiting_since {direction}, page.listing_id {direction}
        """  # noqa: S608  made of constants only
        )
    )
