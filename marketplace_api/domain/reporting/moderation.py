"""Figures of moderation: reports and how long they took, what was reported most, who did what, and batches."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from marketplace_api.db import Reader
from marketplace_api.domain import audit
from marketplace_api.domain.reporting import tally
from marketplace_api.domain.reporting.period import Period, bucket

MOST = 10
"""So many subjects that were reported are named."""

ACTS = (
    "report.resolved", "report.dismissed", "review.deleted", "review.edited", "review.restored", "message.deleted",
    "message.restored", "user.suspended", "user.reinstated", "user.banned", "verification.approved",
    "verification.rejected", "verification.document_opened",
)  # fmt: skip
STEPS = ("verify", "reject", "suspend", "reinstate")
"""The steps of listings that moderators take, as the events tell them."""

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
_ACTS = sa.text(
    f"""
    WITH done AS (
        SELECT actor_id, actor_name, type AS action FROM events
        WHERE type = ANY(CAST(:acts AS text[])) AND {DURING}
        UNION ALL
        SELECT actor_id, actor_name, 'listing.' || (new ->> 'step') FROM events
        WHERE type = 'listing.status_changed' AND {DURING} AND new ->> 'step' = ANY(CAST(:steps AS text[]))
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
    low, high = audit.span(db, audit.Wanted(since=period.since, until=period.until))
    return {"low": low, "high": high, "since": period.since, "until": period.until}


def _moderators(db: Reader, period: Period) -> list[dict[str, Any]]:
    """Who did what how often: ``actor_id``, ``actor`` (a user name, an operator, a job), ``total`` and ``actions``."""
    found: dict[Any, dict[str, Any]] = {}
    for row in db.execute(_ACTS, {"acts": list(ACTS), "steps": list(STEPS), **during(db, period)}):
        one = found.setdefault(
            (row.actor_id, row.actor_name),
            {"actor_id": row.actor_id, "actor": row.username or row.actor_name, "total": 0, "actions": {}},
        )
        one["total"] += row.number
        one["actions"][row.action] = row.number
    return list(found.values())
