"""Figures of accounts: in which states, with which roles, how many are new, and who waits for verification."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from marketplace_api.database.prepared import Reader
from marketplace_api.domain.operations.reporting import tally
from marketplace_api.domain.operations.reporting.period import Period, bucket

_COUNTED = sa.text(
    f"""
    SELECT state, roles, is_verified, email_confirmed_at IS NOT NULL AS is_confirmed,
        coalesce(last_login >= :since AND last_login < :until, false) AS is_seen,
        {bucket("date_joined")} AS day, count(*) AS number
    FROM users GROUP BY 1, 2, 3, 4, 5, 6
    """  # noqa: S608  made of constants only
)
_QUEUE = sa.text(
    """
    SELECT count(*) AS waiting, extract(epoch FROM now() - min(date_submitted)) AS oldest,
        extract(epoch FROM percentile_cont(0.5) WITHIN GROUP (ORDER BY now() - date_submitted)) AS median
    FROM verifications WHERE status = 'pending'
    """
)
_DECIDED = sa.text(
    """
    SELECT status, count(*) AS number,
        extract(epoch FROM percentile_cont(0.5) WITHIN GROUP (ORDER BY date_decided - date_submitted)) AS median,
        extract(epoch FROM percentile_cont(0.9) WITHIN GROUP (ORDER BY date_decided - date_submitted)) AS p90
    FROM verifications WHERE date_decided >= :since AND date_decided < :until GROUP BY status ORDER BY status
    """
)


def figures(db: Reader, period: Period) -> dict[str, Any]:
    """``total``, which ``by_state`` divides, ``verified``, ``confirmed`` (addresses), ``by_role`` and ``seen`` (last logged
    in within the period) are of those that are not erased; ``erased`` are the others. ``new`` (in the period, erased
    since or not), which ``new_over_time`` divides; ``verification_queue``, ``verifications``.
    """
    rows = db.execute(_COUNTED, dict(period.values)).all()
    standing = [row for row in rows if row.state != "erased"]
    roles: dict[str, int] = {}
    for row in standing:
        for role in row.roles:
            roles[role] = roles.get(role, 0) + row.number
    return {
        "total": sum(row.number for row in standing),
        "erased": sum(row.number for row in rows) - sum(row.number for row in standing),
        "verified": sum(row.number for row in standing if row.is_verified),
        "confirmed": sum(row.number for row in standing if row.is_confirmed),
        "new": sum(row.number for row in rows if row.day is not None),
        "seen": sum(row.number for row in standing if row.is_seen),
        "by_state": tally.by(standing, "state"),
        "by_role": dict(sorted(roles.items(), key=lambda item: (-item[1], item[0]))),
        "new_over_time": period.series((row.day, row.number) for row in rows),
        "verification_queue": verification_queue(db),
        "verifications": verifications(db, period),
    }


def verification_queue(db: Reader) -> dict[str, Any]:
    """How many identities wait for verification (``waiting``), and for how many hours: ``oldest`` and ``median``."""
    row = db.execute(_QUEUE).one()
    return {"waiting": row.waiting, "oldest_hours": tally.hours(row.oldest), "median_hours": tally.hours(row.median)}


def verifications(db: Reader, period: Period) -> list[dict[str, Any]]:
    """What was decided in the period: ``status``, ``count`` and the hours that it took, ``median`` and ``p90``."""
    values = {"since": period.since, "until": period.until}
    return [
        {
            "status": row.status,
            "count": row.number,
            "median_hours": tally.hours(row.median),
            "p90_hours": tally.hours(row.p90),
        }
        for row in db.execute(_DECIDED, values)
    ]
