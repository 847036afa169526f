"""Where a backup says that it was made: in the database that it is of, so that whoever watches that can tell its age.

A backup may run on any machine, and its file may lie anywhere; `/metrics` of every API process reads this row.
"""

from __future__ import annotations

import psycopg

from marketplace_api.diagnostics.queries import BACKUP_TASK

# The moment of the snapshot is the age of what a restore would bring back. Nothing is overdue by the clock of the workers.
_NOTE = """
INSERT INTO public.schedule_runs (task, outcome, started_at, finished_at, succeeded_at, next_due_at)
VALUES (%(task)s, 'done', %(made_at)s::timestamptz, now(), %(made_at)s::timestamptz, now() + interval '1 day')
ON CONFLICT (task) DO UPDATE SET outcome = 'done', error = NULL, started_at = excluded.started_at,
    finished_at = excluded.finished_at, succeeded_at = excluded.succeeded_at, next_due_at = excluded.next_due_at
"""


def note(url: str, made_at: str) -> bool:
    """Write down that the database at ``url`` was backed up as of ``made_at`` (ISO 8601); whether that could be done.

    It cannot in a database that is older than the table, or that may only be read.
    """
    try:
        with psycopg.connect(
            url, autocommit=True, connect_timeout=10, application_name="marketplace backup"
        ) as connection:
            connection.execute(_NOTE.encode(), {"task": BACKUP_TASK, "made_at": made_at})
    except psycopg.Error:
        return False
    return True
