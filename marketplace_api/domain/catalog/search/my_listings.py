"""The listings of one person, newest first."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from marketplace_api.database.prepared import Prepared, Reader
from marketplace_api.domain.catalog.listings import queries
from marketplace_api.domain.catalog.search.query import ORDERS
from marketplace_api.domain.kernel import paging
from marketplace_api.domain.kernel.paging import Page, PageRequest, assemble, decode_cursor, fingerprint, offset_of

_COLUMNS = ", ".join(column.name for column in queries.COLUMNS)


def owned(
    db: Reader,
    user_id: int,
    page: PageRequest,
    *,
    statuses: tuple[str, ...] | None = None,
    include_private: bool = False,
    deleted: bool = False,
) -> Page:
    """The listings of ``user_id``, newest first, as rows of ``listings.queries.COLUMNS``.

    Without ``include_private`` only what search shows to anyone; with it every state, narrowed to ``statuses`` where
    given, and either the living ones or, with ``deleted``, only those in the bin.
    Raises ``Invalid``: ``invalid_cursor``, ``page_too_deep``.
    """
    order = ORDERS["date_created"]
    list_hash = fingerprint("owned", user_id, statuses, include_private, deleted)
    position = decode_cursor(page.cursor, list_hash, (order.kind, int)) if page.cursor else None
    parameters: dict[str, Any] = {
        "user_id": user_id,
        "statuses": list(statuses or ()),
        "count": page.limit + 1,
        "offset": 0 if position else offset_of(page),
        "cap": paging.TOTAL_CAP + 1,
    }
    if position:
        parameters |= {"key": position.keys[0], "id": position.keys[1]}
    condition = _condition(include_private, deleted, statuses is not None)
    statement = _statement(condition, position is not None, position is not None and position.backward)
    found = statement.all(db, parameters)
    kept = [row for row in found if row.listing_id is not None]
    total = found[0].total
    return assemble(kept, page, position, list_hash, lambda row: (row.date_created, row.listing_id), total=total)


def _condition(include_private: bool, deleted: bool, has_statuses: bool) -> str:
    if not include_private:
        return "user_id = :user_id AND is_searchable"
    state = "deleted_at IS NOT NULL" if deleted else "deleted_at IS NULL"
    wanted = " AND status = ANY(CAST(:statuses AS text[]))" if has_statuses else ""
    return f"user_id = :user_id AND {state}{wanted}"


@lru_cache(maxsize=32)
def _statement(condition: str, keyed: bool, backward: bool) -> Prepared:
    comparison, direction = (">", "ASC") if backward else ("<", "DESC")
    beyond = f"(date_created, listing_id) {comparison} (CAST(:key AS timestamptz), :id)" if keyed else "true"
    order = f"ORDER BY date_created {direction}, listing_id {direction}"
    return Prepared(
        sa.text(
            f"""
        WITH counted AS (
            SELECT count(*) AS total FROM (SELECT 1 FROM listings WHERE {condition} LIMIT :cap) AS hits
        ), page AS (
            SELECT {_COLUMNS} FROM listings WHERE {condition} AND {beyond} {order} LIMIT :count OFFSET :offset
        )
        SELECT page.*, counted.total FROM counted LEFT JOIN page ON true {order}
        """  # noqa: S608  made of constants only
        )
    )
