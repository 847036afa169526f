"""Bookmarks: listings kept to be found again, and how many keep one.

Anyone may keep whatever listing they may open. When it is taken down later the bookmark stays, so that the list does
not silently lose what somebody chose; it then tells no more than that the listing is not to be had.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from marketplace_api.database.base import table_of
from marketplace_api.database.prepared import Prepared, Reader
from marketplace_api.domain.catalog.listings import queries, visibility
from marketplace_api.domain.kernel import paging
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.kernel.paging import Page, PageRequest, assemble, decode_cursor, fingerprint, offset_of
from marketplace_api.errors import NotFound
from marketplace_api.models.catalog.bookmarks import Bookmark
from marketplace_api.models.catalog.listings import Listing

_b, _l = table_of(Bookmark).c, table_of(Listing).c

_FIND = Prepared(
    sa.select(_b.bookmark_id, _b.date_bookmarked, *queries.COLUMNS)
    .join_from(table_of(Bookmark), table_of(Listing), _l.listing_id == _b.listing_id)
    .where(_b.user_id == sa.bindparam("keeper_id"), _b.listing_id == sa.bindparam("kept_id"))
)

# All that a page of listings says about bookmarks, in one query.
_MARKS = Prepared(
    sa.text(
        """
    SELECT wanted.listing_id,
        EXISTS (
            SELECT FROM bookmarks WHERE user_id = :user_id AND bookmarks.listing_id = wanted.listing_id
        ) AS bookmarked,
        CASE WHEN wanted.is_counted THEN (
            SELECT count(*)
            FROM (SELECT FROM bookmarks WHERE bookmarks.listing_id = wanted.listing_id LIMIT :cap) AS kept
        ) END AS bookmark_count
    FROM unnest(CAST(:ids AS bigint[]), CAST(:counted AS boolean[])) AS wanted (listing_id, is_counted)
    """
    )
)


def add(session: Session, actor: Actor, listing_id: int) -> tuple[Any, bool]:
    """Keep a listing; returns the bookmark (``bookmark_id``, ``user_id``, ``listing_id``) and whether it was there.

    Raises NotFound, and Gone for a listing that was deleted.
    """
    visibility.require_visible(queries.find(session, listing_id), actor)
    statement = postgresql.insert(Bookmark).values(user_id=actor.user_id, listing_id=listing_id)
    # DO NOTHING would return no row, and a second look might come after somebody removed it.
    kept = statement.on_conflict_do_update(
        index_elements=["user_id", "listing_id"], set_={"user_id": statement.excluded.user_id}
    )
    # No transaction has replaced the row: it was inserted.
    is_new = sa.literal_column("xmax = 0", sa.Boolean).label("is_new")
    row = session.execute(kept.returning(Bookmark.bookmark_id, Bookmark.user_id, Bookmark.listing_id, is_new)).one()
    return row, not row.is_new


def remove(session: Session, actor: Actor, listing_id: int) -> None:
    """Forget a listing; raises NotFound if it is not kept."""
    statement = sa.delete(Bookmark).where(Bookmark.user_id == actor.user_id, Bookmark.listing_id == listing_id)
    quietly = {"synchronize_session": False}
    if session.execute(statement.returning(Bookmark.bookmark_id), execution_options=quietly).first() is None:
        raise NotFound("You have no bookmark of this listing.")


def find(db: Reader, user_id: int, listing_id: int) -> Any | None:
    """The bookmark (``bookmark_id``, ``date_bookmarked``) with its listing's ``queries.COLUMNS``, or ``None``."""
    return _FIND.first(db, {"keeper_id": user_id, "kept_id": listing_id})


def marks(db: Reader, actor: Actor, listings: Sequence[Any]) -> Mapping[int, Any]:
    """By listing id: ``bookmarked``, whether ``actor`` keeps it, and ``bookmark_count`` where it is the actor's own
    or the actor moderates, else ``None``.

    The count is exact up to ``paging.TOTAL_CAP``, as all totals are; so what it costs is bounded.
    """
    if actor.user_id is None or not listings:
        return {}
    counted = [actor.moderates or actor.owns(listing.user_id) for listing in listings]
    ids = [listing.listing_id for listing in listings]
    values = {"user_id": actor.user_id, "ids": ids, "counted": counted, "cap": paging.TOTAL_CAP}
    return {row.listing_id: row for row in _MARKS.all(db, values)}


def bookmarkers(db: Reader, listing_id: int, *, after: int = 0, limit: int = 1000) -> Sequence[int]:
    """Who keeps a listing: account ids in ascending order, from after ``after`` on."""
    statement = sa.select(_b.user_id).where(_b.listing_id == listing_id, _b.user_id > after)
    found: Sequence[int] = db.execute(statement.order_by(_b.user_id).limit(limit)).scalars().all()
    return found


def list_page(db: Reader, user_id: int, page: PageRequest) -> Page:
    """What an account keeps, newest first: rows as :func:`find` gives them, of listings in whatever state.

    Raises ``Invalid``: ``invalid_cursor``, ``page_too_deep``.
    """
    list_hash = fingerprint("bookmarks", user_id)
    position = decode_cursor(page.cursor, list_hash, (int,)) if page.cursor else None
    values: dict[str, Any] = {
        "user_id": user_id,
        "count": page.limit + 1,
        "offset": 0 if position else offset_of(page),
        "cap": paging.TOTAL_CAP + 1,
    }
    if position:
        values["key"] = position.keys[0]
    found = _statement(position is not None, position is not None and position.backward).all(db, values)
    kept = [row for row in found if row.bookmark_id is not None]
    return assemble(kept, page, position, list_hash, lambda row: (row.bookmark_id,), total=found[0].total)


@lru_cache(maxsize=4)
def _statement(keyed: bool, backward: bool) -> Prepared:
    comparison, direction = (">", "ASC") if backward else ("<", "DESC")
    beyond = f"bookmark.bookmark_id {comparison} :key" if keyed else "true"
    columns = ", ".join(f"listing.{column.name}" for column in queries.COLUMNS)
    statement = sa.text(
        f"""
        WITH counted AS (
            SELECT count(*) AS total FROM (SELECT FROM bookmarks WHERE user_id = :user_id LIMIT :cap) AS hits
        ), page AS (
            SELECT bookmark.bookmark_id, bookmark.date_bookmarked, {columns}
            FROM bookmarks AS bookmark JOIN listings AS listing USING (listing_id)
            WHERE bookmark.user_id = :user_id AND {beyond}
            ORDER BY bookmark.bookmark_id {direction} LIMIT :count OFFSET :offset
        )
        SELECT page.*, counted.total FROM counted LEFT JOIN page ON true ORDER BY page.bookmark_id {direction}
        """  # noqa: S608  made of constants only
    )
    return Prepared(statement)
