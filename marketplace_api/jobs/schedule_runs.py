"""What the clock did: the last run of each task of the schedule, written by the run itself."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database.base import table_of
from marketplace_api.jobs import cron as job_cron
from marketplace_api.models.kernel.jobs import ScheduleRun

RUNNING, DONE, FAILED = "running", "done", "failed"

_runs = table_of(ScheduleRun)

# What has never run is due from the moment that it first began.
_BEGIN = sa.text(
    "INSERT INTO schedule_runs (task, outcome, started_at, next_due_at) VALUES (:task, 'running', :now, :now) "
    "ON CONFLICT (task) DO UPDATE SET outcome = 'running', started_at = :now, finished_at = NULL, error = NULL"
)


def begin(session: Session, task: str) -> None:
    """The task runs from now on; commits."""
    session.execute(_BEGIN, {"task": task, "now": datetime.now(UTC)})
    session.commit()


def end(session: Session, task: str, cron: str, error: str | None = None) -> None:
    """The run that began last is over, well or with an ``error`` of this class; commits."""
    now = datetime.now(UTC)
    values: dict[str, Any] = {"outcome": FAILED if error else DONE, "finished_at": now, "error": error}
    if error is None:
        values |= {"succeeded_at": now, "next_due_at": job_cron.next_due(cron, now)}
    session.execute(sa.update(_runs).where(_runs.c.task == task).values(values))
    session.commit()


def log_outcome(session: Session, crons: Mapping[str, str], now: datetime) -> list[dict[str, Any]]:
    """Of each task by name: ``cron``, ``last_run``, ``outcome``, ``seconds``, ``error``, ``next_run``, ``overdue``.

    ``overdue`` is for how many seconds a run should have succeeded and has not; ``next_run`` is by the clock.
    """
    found = {row.task: row for row in session.execute(sa.select(_runs))}
    return [_line(task, cron, found.get(task), now) for task, cron in crons.items()]


def _line(task: str, cron: str, row: Any, now: datetime) -> dict[str, Any]:
    line: dict[str, Any] = {
        "task": task,
        "cron": cron,
        "last_run": None,
        "outcome": None,
        "seconds": None,
        "error": None,
        "next_run": job_cron.next_due(cron, now),
        "overdue": None,
    }
    if row is not None:
        late = (now - row.next_due_at).total_seconds()
        took = (row.finished_at - row.started_at).total_seconds() if row.finished_at else None
        line |= {
            "last_run": row.started_at,
            "outcome": row.outcome,
            "error": row.error,
            "seconds": None if took is None else round(took, 3),
            "overdue": round(late) if late > 0 else None,
        }
    return line
