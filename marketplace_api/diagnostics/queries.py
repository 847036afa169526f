"""What is asked of a database about the work behind the API: queue, schedule, event log, webhooks, deliveries.

`marketplace-admin doctor` asks by :class:`~marketplace_api.diagnostics.inspector.DatabaseInspector`,
`/metrics` and `/readyz` with their own sessions.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

WORKERS = "SELECT count(*) FROM procrastinate_workers WHERE last_heartbeat > now() - interval '1 minute'"

QUEUES = """
SELECT jobs.queue_name AS queue, jobs.todo, jobs.doing, jobs.failed, jobs.stalled,
    coalesce(extract(epoch FROM now() - least(jobs.due,
        (SELECT max(at) FROM procrastinate_events WHERE job_id = jobs.first_id))), 0)::float8 AS oldest_seconds
FROM (
    SELECT queue_name, count(*) FILTER (WHERE job.status = 'todo') AS todo,
        count(*) FILTER (WHERE job.status = 'doing') AS doing, count(*) FILTER (WHERE job.status = 'failed') AS failed,
        count(*) FILTER (WHERE job.status = 'doing' AND
            (worker.id IS NULL OR worker.last_heartbeat < now() - interval '2 minutes')) AS stalled,
        min(job.scheduled_at) FILTER (WHERE job.status = 'todo' AND job.scheduled_at <= now()) AS due,
        min(job.id) FILTER (WHERE job.status = 'todo' AND job.scheduled_at IS NULL) AS first_id
    FROM (
        (SELECT id, queue_name, status, scheduled_at, worker_id FROM procrastinate_jobs WHERE status = 'todo' LIMIT 100000)
        UNION ALL SELECT id, queue_name, status, scheduled_at, worker_id FROM procrastinate_jobs
        WHERE status IN ('doing', 'failed')
    ) AS job LEFT JOIN procrastinate_workers AS worker ON worker.id = job.worker_id GROUP BY queue_name
) AS jobs ORDER BY queue
"""
"""Rows whose columns are the fields of :class:`QueueFacts`; more waiting jobs than that are not counted."""

RETRIED = """
SELECT queue, count(*) AS jobs, max(attempts) AS attempts,
    extract(epoch FROM now() - min(since))::float8 AS seconds
FROM (
    SELECT queue_name AS queue, attempts, (SELECT min(at) FROM procrastinate_events
        WHERE job_id = job.id AND type = 'deferred_for_retry') AS since
    FROM procrastinate_jobs AS job WHERE status = 'todo' AND attempts > 0 LIMIT 100000
) AS jobs WHERE since < now() - %(least)s * interval '1 second' GROUP BY queue ORDER BY queue
"""

BACKUP_TASK = "backup"
"""The row of ``schedule_runs`` that `marketplace-admin db backup` writes; no task of the workers bears the name."""

RUNS = f"""
SELECT task, outcome, succeeded_at, greatest(extract(epoch FROM now() - next_due_at), 0)::float8 AS overdue_seconds
FROM schedule_runs WHERE task <> '{BACKUP_TASK}' ORDER BY task
"""  # noqa: S608  made of constants only
"""Rows whose columns are the fields of :class:`RunFacts`."""

BACKUP_AGE = f"""
SELECT coalesce((
    SELECT extract(epoch FROM now() - succeeded_at) FROM schedule_runs WHERE task = '{BACKUP_TASK}'
), 'Infinity')::float8
"""  # noqa: S608  made of constants only
"""For how many seconds the newest backup has been getting old; infinite where none was ever made."""

FEED_LAG = """
SELECT coalesce((
    SELECT extract(epoch FROM clock_timestamp() - date_created) FROM events
    WHERE event_id > (SELECT event_horizon()) ORDER BY event_id LIMIT 1
), 0)::float8
"""
"""For how many seconds the first event that is committed waits for those with smaller ids to be decided."""

EVENT_LOG = f"""
SELECT ({FEED_LAG}) AS behind_seconds,
    ARRAY(SELECT pid FROM event_recorders() WHERE pid IS NOT NULL ORDER BY start LIMIT 1) AS recorders,
    EXISTS (SELECT FROM events_rest) AS has_strays,
    to_regclass(to_char(now() AT TIME ZONE 'UTC' + interval '1 month', '"events_"YYYY"_"MM')) IS NOT NULL AS has_next_month
"""  # noqa: S608  made of constants only

WEBHOOKS = "SELECT * FROM webhook_figures()"
"""One row, whose columns are the fields of :class:`WebhookFacts`."""

DELIVERIES = "SELECT channel, due, failed, oldest_seconds FROM delivery_states()"
"""Rows whose columns are the fields of :class:`DeliveryFacts`."""

# What waits for quiet hours or a digest has no error.
PUT_OFF = """
SELECT channel, count(*) FROM deliveries WHERE status = 'due' AND due_at > now() AND error IS NOT NULL GROUP BY channel
"""


@dataclass(frozen=True, slots=True)
class QueueFacts:
    """The jobs of one queue by status, and how long the oldest due one waits."""

    queue: str
    todo: int = 0
    doing: int = 0
    failed: int = 0
    stalled: int = 0
    oldest_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class RetriedFacts:
    """Jobs of a queue that failed, and wait to be tried again: the most attempts at one, and for how long the first of
    them has been failing."""

    queue: str
    jobs: int
    attempts: int
    seconds: float


@dataclass(frozen=True, slots=True)
class RunFacts:
    """A task of the schedule: how its last run went, when one last succeeded, and for how long one is overdue."""

    task: str
    outcome: str
    succeeded_at: datetime | None
    overdue_seconds: float


@dataclass(frozen=True, slots=True)
class EventLogFacts:
    """The event log: how long its feed waits, and the connection that it waits for, if any; whether events lie outside
    of all months, and whether the next month is made."""

    behind_seconds: float
    recorders: list[int]
    has_strays: bool
    has_next_month: bool


@dataclass(frozen=True, slots=True)
class WebhookFacts:
    """Endpoints by status; deliveries that came to an end, since their endpoints were made; those that wait, and how long
    the oldest due one does."""

    enabled: int
    disabled: int
    delivered: int
    failed: int
    waiting: int
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class DeliveryFacts:
    """What is to be sent by a channel: how many deliveries are due, for how long, and how many failed."""

    channel: str
    due: int
    failed: int
    oldest_seconds: float
