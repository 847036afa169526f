"""How a job gets into the queue: a row of procrastinate's tables, written through the session that causes it.

So the job exists exactly if the session commits. ``worker.py`` runs it.
"""

from __future__ import annotations

from collections.abc import Mapping

import procrastinate
import sqlalchemy as sa
from procrastinate.exceptions import AlreadyEnqueued
from sqlalchemy.orm import Session

from marketplace_api.database.engines import driver_connection
from marketplace_api.models.kernel.jobs import Queue

__all__ = ["Queue", "defer"]

# False as well while another transaction is about to add the same job: to wait for it would chain all writers.
_MAY_ADD = sa.text(
    "SELECT pg_try_advisory_xact_lock(hashtextextended(:name, 0)) AND NOT EXISTS ("
    "SELECT FROM procrastinate_jobs WHERE queueing_lock = :name AND status = 'todo')"
)

# Never opened: every job goes out on the connection of the session that caused it.
_outbox = procrastinate.App(connector=procrastinate.SyncPsycopgConnector())


def defer(
    session: Session,
    task: str,
    arguments: Mapping[str, int | str],
    *,
    queue: Queue = Queue.DEFAULT,
    seconds: int = 0,
    lock: str | None = None,
    queueing_lock: str | None = None,
) -> None:
    """Put a job into the queue: ``task`` is the name of one of ``tasks.TASKS`` or of the handling of events.

    It runs ``seconds`` after now at the earliest. Of jobs with the same ``lock`` one runs at a time; of those with the
    same ``queueing_lock`` only one may wait, a second raises procrastinate's AlreadyEnqueued. Arguments are ids and
    names: they are logged.
    """
    deferrer = _outbox.configure_task(
        task,
        connection=driver_connection(session),
        queue=queue.value,
        lock=lock,
        queueing_lock=queueing_lock,
        schedule_in={"seconds": seconds} if seconds else None,
    )
    deferrer.defer(**arguments)


def defer_once(
    session: Session,
    task: str,
    arguments: Mapping[str, int | str],
    *,
    name: str,
    queue: Queue = Queue.DEFAULT,
    seconds: int = 0,
    lock: str | None = None,
) -> None:
    """Put a job into the queue unless one called ``name`` waits there already, which then stands for this one too."""
    if not session.execute(_MAY_ADD, {"name": name}).scalar_one():
        return
    try:
        with session.begin_nested():
            defer(session, task, arguments, queue=queue, seconds=seconds, lock=lock, queueing_lock=name)
    except AlreadyEnqueued:
        # Another transaction committed the same job between our question and our insert.
        return
