"""The queue as an operator sees it: which jobs there are, trying failed ones again, taking back those that wait.

Apart from ``dispatch.py`` and ``worker.py``, so that who only looks loads little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.diagnostics.queries import WORKERS
from marketplace_api.errors import Conflict, NotFound

STATUSES = ("todo", "doing", "succeeded", "failed", "cancelled", "aborted")
BATCH = 500

_COLUMNS = (
    "id AS job_id, task_name AS task, queue_name AS queue, status::text, attempts, priority, scheduled_at, args, lock, "
    "queueing_lock, worker_id"
)
# When a job was put into the queue stands with its first event.
_PUT = "(SELECT min(at) FROM procrastinate_events WHERE job_id = procrastinate_jobs.id)"
# Class and, where it may be told, the sentence of the last attempt's error.
_ERROR = (
    "(SELECT concat_ws(': ', error, message) FROM job_errors WHERE job_id = procrastinate_jobs.id "
    "ORDER BY attempt DESC LIMIT 1) AS error"
)
_FIND = sa.text(f"SELECT {_COLUMNS} FROM procrastinate_jobs WHERE id = :id")  # noqa: S608  made of constants only
_HANDLER = "args ->> 'handler'"

_RETRIED = sa.text(
    "SELECT status::text, status = 'todo' AND attempts > 0 AND scheduled_at > now() AS is_put_off, ("
    " SELECT id FROM procrastinate_jobs o WHERE o.queueing_lock = j.queueing_lock AND o.status = 'todo' AND o.id <> j.id"
    ") AS other FROM procrastinate_jobs j WHERE id = :id FOR UPDATE"
)
_HELD = sa.text("SELECT EXISTS (SELECT FROM procrastinate_jobs WHERE lock = :lock AND status = 'doing')")
_RUN_NOW = sa.text("UPDATE procrastinate_jobs SET status = 'todo', scheduled_at = now() WHERE id = :id")
# What is planned stands with the job; it has not happened.
_HISTORY = sa.text(
    "SELECT type::text AS what, at FROM procrastinate_events WHERE job_id = :id AND type <> 'scheduled' ORDER BY at, id"
)


@dataclass(frozen=True, slots=True)
class Criteria:
    """Which jobs: all of these at once. ``task`` is the name of a task or of a handler of events; ``since`` is aware and
    holds for when a job was put into the queue."""

    status: str | None = None
    queue: str | None = None
    task: str | None = None
    since: datetime | None = None


def list_jobs(session: Session, chosen: Criteria, limit: int) -> list[dict[str, Any]]:
    """The newest of these jobs: ``job_id``, ``task``, ``queue``, ``status``, ``attempts``, ``scheduled_at``, …"""
    conditions = ["true"]
    if chosen.status is not None:
        conditions.append("status = CAST(:status AS procrastinate_job_status)")
    if chosen.queue is not None:
        conditions.append("queue_name = :queue")
    if chosen.task is not None:
        conditions.append(f"(task_name = :task OR {_HANDLER} = :task)")
    if chosen.since is not None:
        conditions.append(f"{_PUT} >= :since")
    statement = sa.text(
        f"SELECT {_COLUMNS}, {_ERROR} FROM procrastinate_jobs WHERE {' AND '.join(conditions)} "  # noqa: S608
        "ORDER BY id DESC LIMIT :limit"
    )
    values = {"status": chosen.status, "queue": chosen.queue, "task": chosen.task, "since": chosen.since}
    rows = session.execute(statement, {**values, "limit": limit})
    return [dict(row) for row in rows.mappings()]


def find(session: Session, job_id: int) -> dict[str, Any]:
    """One job, under ``history`` what became of it and when, and under ``errors`` how each attempt failed: ``at``,
    ``attempt``, ``error``, ``message``, ``place``. Raises ``NotFound``."""
    job = session.execute(_FIND, {"id": job_id}).mappings()
    found = job.one_or_none()
    if found is None:
        raise _absent(job_id)
    history = session.execute(_HISTORY, {"id": job_id})
    errors = session.execute(
        sa.text(
            "SELECT date_failed AS at, attempt, error, message, place FROM job_errors WHERE job_id = :id ORDER BY attempt"
        ),
        {"id": job_id},
    )
    return {
        **found,
        "history": [dict(event) for event in history.mappings()],
        "errors": [dict(error) for error in errors.mappings()],
    }


def has_worker(session: Session) -> bool:
    """Whether the queue has heard of a worker lately."""
    return bool(session.execute(sa.text(WORKERS)).scalar_one())


def is_held(session: Session, lock: str) -> bool:
    """Whether a job is being done that lets no other of this lock begin."""
    return bool(session.execute(_HELD, {"lock": lock}).scalar_one())


def failed_after(session: Session, job_id: int) -> Sequence[int]:
    """The ids of failed jobs above this one, the lowest first, at most :data:`BATCH`."""
    return _ids(session, "status = 'failed'", job_id)


def waiting_after(session: Session, job_id: int) -> Sequence[int]:
    """As :func:`failed_after`, of jobs that failed and wait for the time of their next attempt."""
    return _ids(session, "status = 'todo' AND attempts > 0 AND scheduled_at > now()", job_id)


def _ids(session: Session, condition: str, job_id: int) -> Sequence[int]:
    statement = sa.text(
        f"SELECT id FROM procrastinate_jobs WHERE {condition} AND id > :id ORDER BY id LIMIT :batch"  # noqa: S608
    )
    ids: Sequence[int] = session.execute(statement, {"id": job_id, "batch": BATCH}).scalars().all()
    return ids


def retry(session: Session, job_id: int) -> None:
    """Let a job run now that failed, or that waits for its next attempt; raises ``NotFound``, and ``Conflict`` for others.

    That is no attempt: the queue's own function counts one, for it is made for who has just failed.
    """
    job = session.execute(_RETRIED, {"id": job_id}).one_or_none()
    if job is None:
        raise _absent(job_id)
    if job.status == "todo" and not job.is_put_off:
        raise Conflict(f"Job {job_id} waits for a worker already.")
    if job.status not in ("failed", "todo"):
        raise Conflict(f"Job {job_id} has the status {job.status}; only jobs that failed can be tried again.")
    if job.other is not None:
        raise Conflict(f"Job {job.other} will do the same as job {job_id}, and waits already.")
    session.execute(_RUN_NOW, {"id": job_id})


def cancel(session: Session, job_id: int) -> None:
    """Take back a job that waits; it stays in the list. Raises ``NotFound``, and ``Conflict`` once it runs or has run."""
    status = _locked(session, job_id)
    if status == "doing":
        raise Conflict(f"Job {job_id} is running; it ends by itself.")
    if status != "todo":
        raise Conflict(f"Job {job_id} has the status {status}; only waiting jobs can be cancelled.")
    session.execute(sa.text("SELECT procrastinate_cancel_job_v1(:id, false, false)"), {"id": job_id})


def _locked(session: Session, job_id: int) -> str:
    statement = sa.text("SELECT status::text FROM procrastinate_jobs WHERE id = :id FOR UPDATE")
    status: str | None = session.execute(statement, {"id": job_id}).scalar()
    if status is None:
        raise _absent(job_id)
    return status


def _absent(job_id: int) -> NotFound:
    return NotFound(f"There is no job {job_id}; those that succeeded are deleted at once.")
