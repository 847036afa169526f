"""The figures that one looks at first: how much of everything there is, and what came in the period."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from marketplace_api.database.prepared import Reader
from marketplace_api.domain.kernel.events import EventType
from marketplace_api.domain.operations.reporting import listings, moderation, users
from marketplace_api.domain.operations.reporting.period import Period

_HAPPENED = sa.text(
    f"""
    SELECT type, count(*) AS number FROM events
    WHERE type = ANY(CAST(:types AS text[])) AND {moderation.DURING} GROUP BY type
    """  # noqa: S608  made of constants only
)
_COUNTED = {
    "messages_sent": EventType.MESSAGE_SENT,
    "reviews_posted": EventType.REVIEW_POSTED,
    "log_ins": EventType.USER_LOGGED_IN,
    "listings_deleted": EventType.LISTING_DELETED,
    "reviews_deleted": EventType.REVIEW_DELETED,
    "messages_deleted": EventType.MESSAGE_DELETED,
}


def figures(db: Reader, period: Period) -> dict[str, Any]:
    """The heads of the other reports under ``listings``, ``users`` and ``reports``; what else happened (``activity``)."""
    of_listings, of_users = listings.figures(db, period), users.figures(db, period)
    of_reports = moderation.reports(db, period)
    return {
        "listings": _some(of_listings, "total", "deleted", "verified", "new", "by_status", "verification_queue"),
        "users": _some(of_users, "total", "erased", "verified", "new", "seen", "by_state", "verification_queue"),
        "reports": _some(
            of_reports, "undecided", "oldest_hours", "made", "resolved", "dismissed", "median_hours_to_decision"
        ),
        "activity": _activity(db, period),
    }


def _some(found: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: found[name] for name in names}


def _activity(db: Reader, period: Period) -> dict[str, int]:
    values = {"types": [type.value for type in _COUNTED.values()], **moderation.during(db, period)}
    numbers = {row.type: row.number for row in db.execute(_HAPPENED, values)}
    return {name: numbers.get(type.value, 0) for name, type in _COUNTED.items()}
