"""How one worker serves several queues: each has threads of its own, so that what waits in one holds up no other.

The queue's library knows one number of jobs at a time for all queues; ten mails to a server that does not answer would
take every thread, and nothing else would happen. Here a queue whose threads are all busy is left out of the question
for the next job. One worker, one listening connection and one sign of life serve them all.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Container, Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

import structlog
from procrastinate.connector import BaseConnector
from procrastinate.jobs import Job, Status
from procrastinate.manager import JobManager

from marketplace_api.jobs import cron as job_cron
from marketplace_api.jobs import failures
from marketplace_api.models.kernel.jobs import Queue

log = structlog.get_logger(__name__)

# One with a job in hand stays until that is taken over.
_FORGET = (
    "DELETE FROM procrastinate_workers w WHERE id = ANY(%(former)s) AND NOT EXISTS ("
    "SELECT FROM procrastinate_jobs j WHERE j.worker_id = w.id AND j.status = 'doing')"
)
# Who was silent for long, and is back, may hold a job that was given to another meanwhile: what became of it there is not
# theirs to say. The library asks for the job's number only, so it would end or repeat what the other one is doing.
_HELD = (
    "FROM (SELECT id FROM procrastinate_jobs WHERE id = %(job_id)s AND status = 'doing' "
    "AND worker_id IS NOT DISTINCT FROM %(worker_id)s FOR UPDATE) AS held"
)
_FINISH = f"SELECT held.id, procrastinate_finish_job_v1(held.id, %(status)s, %(delete_job)s) {_HELD}"
_RETRY = "SELECT held.id, procrastinate_retry_job_v2(held.id, %(retry_at)s, %(priority)s, %(queue)s, %(lock)s) " + _HELD
WAIT_SECONDS = 5.0
"""A worker of which some queues are full looks that often for what it was not told of."""


def threads_of(queues: Iterable[Queue], threads: int) -> dict[str, int]:
    """How many jobs of each of these queues are worked on at a time: all ``threads`` for the default one, half as many
    for each that waits for others' servers."""
    return {queue.value: threads if queue is Queue.DEFAULT else max(1, threads // 2) for queue in queues}


class QueueConcurrency(JobManager):
    """The queue's manager, which hands out no job of a queue that has ``threads`` in hand.

    ``tasks`` are the names of those that it can do; ``crons`` are those of the tasks of the schedule, by their names.
    ``former`` are the numbers under which the same process has worked, before it lost the database; what it takes is
    kept there.
    """

    def __init__(
        self,
        connector: BaseConnector,
        threads: Mapping[str, int],
        tasks: Container[str],
        crons: Mapping[str, str],
        former: list[int] | None = None,
    ) -> None:
        super().__init__(connector)
        self._threads, self._tasks, self._crons = threads, tasks, crons
        self._former = [] if former is None else former
        self._in_hand: dict[int, str] = {}
        self._changed = asyncio.Event()
        self._stopped = False

    async def register_worker(self) -> int:
        """As the library's; who comes back after it lost the database is not counted twice."""
        worker_id = await super().register_worker()
        former = list(self._former)
        self._former.append(worker_id)
        await self.connector.execute_query_async(_FORGET, former=former)
        self._former[:] = [worker_id]
        return worker_id

    async def fetch_job(self, queues: Iterable[str] | None, worker_id: int) -> Job | None:
        """The next job of a queue with a free thread; ``None`` where nothing waits in any queue."""
        while not self._stopped:
            self._changed.clear()
            free = self._free()
            job = await super().fetch_job(free, worker_id) if free else None
            if job is not None:
                self._in_hand[job.id or 0] = job.queue
                return job
            # The library forgets what it was told of while it asked, and is not told that a thread became free.
            if self._changed.is_set():
                continue
            if len(free) == len(self._threads):
                return None
            with suppress(TimeoutError, asyncio.TimeoutError):
                await asyncio.wait_for(self._changed.wait(), WAIT_SECONDS)
        return None

    def stop(self) -> None:
        """Hand out nothing more."""
        self._stopped = True
        self._changed.set()

    async def finish_job(self, job: Job, status: Status, delete_job: bool) -> None:
        """As the library's, for who still holds the job; a thread is free. Of a task that there is not nobody else tells
        why its job failed."""
        try:
            if status is Status.FAILED and job.task_name not in self._tasks:
                await failures.store(self.connector, job, failures.describe(failures.UnknownTask(job.task_name)))
            await self._let_become(_FINISH, job, status=status.value, delete_job=delete_job)
        finally:
            self._let_go(job)

    async def retry_job(
        self,
        job: Job,
        retry_at: datetime | None = None,
        priority: int | None = None,
        queue: str | None = None,
        lock: str | None = None,
    ) -> None:
        """As the library's, for who still holds the job; a thread is free."""
        try:
            await self._let_become(_RETRY, job, retry_at=retry_at, priority=priority, queue=queue, lock=lock)
        finally:
            self._let_go(job)

    async def _let_become(self, statement: str, job: Job, **values: Any) -> None:
        holder = {"job_id": job.id, "worker_id": job.worker_id}
        if not await self.connector.execute_query_all_async(statement, **holder, **values):
            log.warning("job.taken_over", job_id=job.id, task=job.task_name)

    async def listen_for_jobs(self, *, on_notification: Any, queues: Iterable[str] | None = None) -> None:
        """As the library's; who waits for a free thread hears of new jobs as well."""

        async def heard(**notice: Any) -> None:
            await on_notification(**notice)
            self._changed.set()

        await super().listen_for_jobs(on_notification=heard, queues=queues)

    async def defer_periodic_job(self, job: Job, periodic_id: str, defer_timestamp: int) -> int | None:
        """As the library's, but only the newest tick of a task is put into the queue: after a night without a worker,
        or a clock that was set, those before it have nothing to add."""
        cron = self._crons.get(job.task_name)
        if cron is not None and defer_timestamp < job_cron.last_due(cron, time.time()):
            return None
        return await super().defer_periodic_job(job, periodic_id, defer_timestamp)

    def _free(self) -> list[str]:
        busy = Counter(self._in_hand.values())
        return [queue for queue, threads in self._threads.items() if busy[queue] < threads]

    def _let_go(self, job: Job) -> None:
        self._in_hand.pop(job.id or 0, None)
        self._changed.set()
