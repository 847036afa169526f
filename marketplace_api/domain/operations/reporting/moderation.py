"""Figures of moderation: reports and how long they took, what was reported most, who did what, and batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import sqlalchemy as sa

from marketplace_api.database.prepared import Reader
from marketplace_api.domain.eventlog import audit
from marketplace_api.domain.operations.reporting import tally
from marketplace_api.domain.operations.reporting.period import Period, bucket

MOST = 10
"""So many subjects that were reported are named."""

ACTS = (
    "report.assigned",
    "report.resolved",
    "report.dismissed",
    "review.deleted",
    "review.edited",
    "review.restored",
    "message.opened",
    "message.deleted",
    "message.restored",
    "user.suspended",
    "user.reinstated",
    "user.banned",
    "user.roles_changed",
    "user.erased",
    "verification.approved",
    "verification.rejected",
    "verification.expired",
    "verification.document_opened",
)
STEPS: Mapping[str, str] = {
    "verify": "listing.verified",
    "reject": "listing.rejected",
    "suspend": "listing.suspended",
    "reinstate": "listing.reinstated",
    "undo verify": "listing.unverified",
    "undo reject": "listing.unrejected",
    "undo suspend": "listing.reinstated",
    "undo reinstate": "listing.suspended",
}
"""What the steps of listings that moderators take, and their undoing, are called: all acts have one form of names."""

_COUNTED = sa.text(
    f"""
    SELECT state, subject_type, reason, {bucket("date_created")} AS day,
        coalesce(date_decided >= :since AND date_decided < :until, false) AS is_decided, count(*) AS number
    FROM reports GROUP BY 1, 2, 3, 4, 5
    """  # noqa: S608  made of constants only
)
_DECIDED = sa.text(
    """
    SELECT extract(epoch FROM percentile_cont(0.5) WITHIN GROUP (ORDER BY date_decided - date_created)) AS median,
        extract(epoch FROM percentile_cont(0.9) WITHIN GROUP (ORDER BY date_decided - date_created)) AS p90
    FROM reports WHERE stage >= 2 AND date_decided >= :since AND date_decided < :until
    """
)
_UNDECIDED = sa.text(
    """
    SELECT extract(epoch FROM now() - min(date_created)) AS oldest,
        extract(epoch FROM percentile_cont(0.5) WITHIN GROUP (ORDER BY now() - date_created)) AS median
    FROM reports WHERE stage <= 1
    """
)
_TOP = sa.text(
    """
    SELECT subject_type, subject_id, count(*) AS reports, count(*) FILTER (WHERE stage <= 1) AS undecided
    FROM reports WHERE date_created >= :since AND date_created < :until
    GROUP BY subject_type, subject_id ORDER BY reports DESC, subject_type, subject_id LIMIT :most
    """
)
# The log is long: between which ids the period lies is looked up first.
DURING = "event_id BETWEEN :low AND :high AND date_created >= :since AND date_created < :until"
# Jobs have names too, but judge nobody.
_BY_PEOPLE = "(actor_id IS NOT NULL OR actor_name LIKE 'operator%')"
_ACTS = sa.text(
    f"""
    WITH done AS (
        SELECT actor_id, actor_name, type AS action FROM events
        WHERE type = ANY(CAST(:acts AS text[])) AND {DURING} AND {_BY_PEOPLE}
        UNION ALL
        SELECT actor_id, actor_name, CAST(:steps AS jsonb) ->> (new ->> 'step') FROM events
        WHERE type = 'listing.status_changed' AND {DURING} AND CAST(:steps AS jsonb) ->> (new ->> 'step') IS NOT NULL
        UNION ALL
        SELECT actor_id, actor_name, type FROM (
            SELECT * FROM events WHERE type IN ('listing.deleted', 'listing.restored') AND {DURING} AND {_BY_PEOPLE}
        ) AS act JOIN listings ON listings.listing_id = act.subject_id AND act.actor_id IS DISTINCT FROM listings.user_id
        UNION ALL
        SELECT actor_id, actor_name, type FROM events
        WHERE type = 'session.ended' AND {DURING} AND new ->> 'reason' = 'ended_by_operator'
    ), counted AS (SELECT actor_id, actor_name, action, count(*) AS number FROM done GROUP BY 1, 2, 3)
    SELECT counted.*, users.username FROM counted LEFT JOIN users ON users.user_id = counted.actor_id
    ORDER BY sum(number) OVER (PARTITION BY actor_id, actor_name) DESC, actor_id, actor_name, number DESC, action
    """  # noqa: S608  made of constants only
)
_BATCHES = sa.text(
    """
    SELECT action, target, state, count(*) AS batches, sum(matched) AS matched FROM moderation_batches
    WHERE date_created >= :since AND date_created < :until GROUP BY 1, 2, 3 ORDER BY matched DESC, action, target, state
    """
)


def figures(db: Reader, period: Period) -> dict[str, Any]:
    """``reports``, ``most_reported``, ``moderators`` (what each did in the period) and ``batches`` (begun in it)."""
    inside = {"since": period.since, "until": period.until}
    return {
        "reports": reports(db, period),
        "most_reported": [dict(row._mapping) for row in db.execute(_TOP, {**inside, "most": MOST})],
        "moderators": _moderators(db, period),
        "batches": [dict(row._mapping) | {"matched": int(row.matched)} for row in db.execute(_BATCHES, inside)],
    }


def reports(db: Reader, period: Period) -> dict[str, Any]:
    """``undecided`` ones and their ages in hours, all ``by_state``; of the period ``made`` (by reason, by subject, over
    time), ``resolved``, ``dismissed``, and the hours to the decision: ``median`` and ``p90``."""
    rows = db.execute(_COUNTED, dict(period.values)).all()
    took = db.execute(_DECIDED, {"since": period.since, "until": period.until}).one()
    waiting = db.execute(_UNDECIDED).one()
    recent = [row for row in rows if row.day is not None]
    decided = tally.by([row for row in rows if row.is_decided], "state")
    return {
        "undecided": sum(row.number for row in rows if row.state in ("open", "assigned")),
        "oldest_hours": tally.hours(waiting.oldest),
        "median_age_hours": tally.hours(waiting.median),
        "made": sum(row.number for row in recent),
        "resolved": decided.get("resolved", 0),
        "dismissed": decided.get("dismissed", 0),
        "median_hours_to_decision": tally.hours(took.median),
        "p90_hours_to_decision": tally.hours(took.p90),
        "by_state": tally.by(rows, "state"),
        "made_by_reason": tally.by(recent, "reason"),
        "made_by_subject": tally.by(recent, "subject_type"),
        "made_over_time": period.series((row.day, row.number) for row in recent),
    }


def during(db: Reader, period: Period) -> dict[str, Any]:
    """The parameters of :data:`DURING`."""
    low, high = audit.span(db, audit.Criteria(since=period.since, until=period.until))
    return {"low": low, "high": high, "since": period.since, "until": period.until}


def _moderators(db: Reader, period: Period) -> list[dict[str, Any]]:
    """Who did what how often: ``actor_id``, ``actor`` (a user name or an operator), ``total`` and ``actions``."""
    found: dict[Any, dict[str, Any]] = {}
    values = {"acts": list(ACTS), "steps": orjson.dumps(dict(STEPS)).decode(), **during(db, period)}
    for row in db.execute(_ACTS, values):
        one = found.setdefault(
            (row.actor_id, row.actor_name),
            {"actor_id": row.actor_id, "actor": row.username or row.actor_name, "total": 0, "actions": {}},
        )
        one["total"] += row.number
        one["actions"][row.action] = row.number
    return list(found.values())
