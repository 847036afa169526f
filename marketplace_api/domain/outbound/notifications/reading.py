"""Reading notifications, the latest first, each with what it needs to be told in words: who, which listing, which device.

Names and titles are those of the moment of reading, and only what the reader may see. What a page costs does not depend
on how many notifications there are: an index leads to it, and triggers keep the counts.
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from marketplace_api.database.prepared import Prepared, Reader
from marketplace_api.domain.identity.accounts.queries import LIVING
from marketplace_api.domain.kernel.paging import Page, PageRequest, assemble, decode_cursor, fingerprint, offset_of

_OWN = (
    "notification_id, user_id, type, count, actor_id, listing_id, conversation_id, review_id, session_id, data, "
    "is_read, date_created, date_updated"
)
FOUND = """
    actor.username AS actor_username,
    listing.title AS listing_title,
    coalesce(listing.is_public OR (listing.user_id = note.user_id AND listing.deleted_at IS NULL), false)
        AS listing_is_open,
    coalesce(review.deleted_at IS NULL OR review.reviewer_id = note.user_id, false) AND review.review_id IS NOT NULL
        AS review_is_open,
    coalesce(side.last_message_id > side.hidden_through, false) AS conversation_is_open,
    session.device AS session_device,
    coalesce(session.ended_at IS NULL AND session.expires_at > now(), false) AS session_is_open
"""
"""SQL: what the words about a row ``note`` need, besides its own columns; with :data:`JOINS`."""
JOINS = f"""
    LEFT JOIN users AS actor ON actor.user_id = note.actor_id
        AND actor.state IN ({", ".join(f"'{state}'" for state in LIVING)})
    LEFT JOIN listings AS listing ON listing.listing_id = note.listing_id
    LEFT JOIN reviews AS review ON review.review_id = note.review_id
    LEFT JOIN conversation_sides AS side ON side.conversation_id = note.conversation_id AND side.user_id = note.user_id
    LEFT JOIN sessions AS session ON session.session_id = note.session_id
"""
_FIND = Prepared(
    sa.text(
        f"""
        SELECT {", ".join(f"note.{name}" for name in _OWN.split(", "))}, {FOUND}
        FROM notifications AS note {JOINS}
        WHERE note.notification_id = :notification_id AND note.user_id = :user_id
        """  # noqa: S608  made of constants only
    )
)


def find(db: Reader, notification_id: int, user_id: int) -> Any | None:
    """One notification of a person with all that its words need, or ``None``."""
    return _FIND.first(db, {"notification_id": notification_id, "user_id": user_id})


def list_page(db: Reader, user_id: int, page: PageRequest, *, unread_only: bool = False) -> tuple[Page, int]:
    """A person's notifications as rows like those of :func:`find`, the latest first, and how many are unread.

    Raises ``Invalid``: ``invalid_cursor``, ``page_too_deep``.
    """
    list_hash = fingerprint("notifications", user_id, unread_only)
    position = decode_cursor(page.cursor, list_hash, (datetime, int)) if page.cursor else None
    values: dict[str, Any] = {"user_id": user_id, "count": page.limit + 1, "offset": 0 if position else offset_of(page)}
    if position:
        values |= {"moment": position.keys[0], "id": position.keys[1]}
    statement = _page(unread_only, position is not None, position is not None and position.backward)
    found = db.execute(statement, values).all()
    kept = [row for row in found if row.notification_id is not None]
    total = found[0].unread_count if unread_only else found[0].total_count
    shown = assemble(kept, page, position, list_hash, lambda row: (row.date_updated, row.notification_id), total=total)
    return shown, found[0].unread_count


@lru_cache(maxsize=8)
def _page(unread_only: bool, keyed: bool, backward: bool) -> sa.TextClause:
    comparison, direction = (">", "ASC") if backward else ("<", "DESC")
    beyond = f"AND (date_updated, notification_id) {comparison} (:moment, :id)" if keyed else ""
    order = f"note.date_updated {direction}, note.notification_id {direction}"
    return sa.text(
        f"""
        WITH note AS (
            SELECT {_OWN} FROM notifications
            WHERE user_id = :user_id {"AND NOT is_read" if unread_only else ""} {beyond}
            ORDER BY date_updated {direction}, notification_id {direction} LIMIT :count OFFSET :offset
        ), shown AS (
            SELECT note.*, {FOUND} FROM note {JOINS}
        )
        SELECT note.*, coalesce(box.total_count, 0) AS total_count, coalesce(box.unread_count, 0) AS unread_count
        FROM (SELECT CAST(:user_id AS bigint) AS user_id) AS reader
        LEFT JOIN notification_boxes AS box USING (user_id)
        LEFT JOIN shown AS note ON true
        ORDER BY {order}
        """  # noqa: S608  made of constants only
    )
