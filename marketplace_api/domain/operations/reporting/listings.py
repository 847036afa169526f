"""Figures of listings: in which states, of which categories and countries, and how many are new.

All of it comes from one index that holds no more than is asked here: one pass through it, and one through the period.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from marketplace_api.database.prepared import Reader
from marketplace_api.domain.operations.reporting import tally
from marketplace_api.domain.operations.reporting.period import Period
from marketplace_api.models.catalog.listings import IS_WAITING, WAITING_SINCE

MOST = 20
"""So many categories and countries are named."""

_COUNTED = sa.text(
    """
    SELECT CASE WHEN deleted_at IS NULL THEN status ELSE 'deleted' END AS status, category,
        nullif(btrim(country), '') AS country, is_verified_listing AND deleted_at IS NULL AS is_verified,
        date_created >= :since AND date_created < :until AS is_new, count(*) AS number
    FROM listings GROUP BY 1, 2, 3, 4, 5
    """
)
_BY_DAY = sa.text(
    """
    SELECT CAST(date_trunc(:unit, date_created AT TIME ZONE 'UTC') AS date) AS day, count(*) AS number
    FROM listings WHERE date_created >= :since AND date_created < :until GROUP BY 1
    """
)
_WAITING = sa.text(
    f"""
    SELECT count(*) AS waiting,
        extract(epoch FROM now() - min({WAITING_SINCE})) AS oldest,
        extract(epoch FROM percentile_cont(0.5) WITHIN GROUP (ORDER BY now() - {WAITING_SINCE})) AS median
    FROM listings WHERE {IS_WAITING}
    """  # noqa: S608  made of constants only
)


def figures(db: Reader, period: Period) -> dict[str, Any]:
    """``total``, which ``by_status``, ``by_category`` and ``by_country`` divide, and ``verified`` are of those that are not
    deleted; ``deleted`` are the others. ``new`` (in the period, deleted since or not), which ``new_by_category``,
    ``new_by_country`` and ``new_over_time`` divide; ``verification_queue``."""
    rows = db.execute(_COUNTED, {"since": period.since, "until": period.until}).all()
    days = db.execute(_BY_DAY, dict(period.values))
    standing = [row for row in rows if row.status != "deleted"]
    recent = [row for row in rows if row.is_new]
    return {
        "total": sum(row.number for row in standing),
        "deleted": sum(row.number for row in rows) - sum(row.number for row in standing),
        "verified": sum(row.number for row in rows if row.is_verified),
        "new": sum(row.number for row in recent),
        "by_status": tally.by(standing, "status"),
        "by_category": tally.largest(tally.by(standing, "category"), MOST),
        "by_country": tally.largest(tally.by(standing, "country"), MOST),
        "new_by_category": tally.largest(tally.by(recent, "category"), MOST),
        "new_by_country": tally.largest(tally.by(recent, "country"), MOST),
        "new_over_time": period.series((row.day, row.number) for row in days),
        "verification_queue": verification_queue(db),
    }


def verification_queue(db: Reader) -> dict[str, Any]:
    """How many listings wait for verification (``waiting``), and for how many hours: ``oldest`` and ``median``."""
    row = db.execute(_WAITING).one()
    return {"waiting": row.waiting, "oldest_hours": tally.hours(row.oldest), "median_hours": tally.hours(row.median)}
