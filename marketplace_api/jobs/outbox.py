"""How a job gets into the queue: a row of procrastinate's tables, written through the session that causes it.

So the job exists exactly if the session commits. ``worker.py`` runs it.
"""

from __future__ import annotations

from collections.abc import Mapping

import procrastinate
from sqlalchemy.orm import Session

from marketplace_api.db import driver_connection
from marketplace_api.models.jobs import Queue

__all__ = ["Queue", "defer"]

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
