"""The worker process: takes jobs from the queue and runs each in a thread, with a session of its own.

Any number may run, each for all queues or some. One that is told to stop finishes the jobs in hand; one that loses
PostgreSQL waits for it to come back; the jobs of one that is killed return to the queue within a minute.
"""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import procrastinate
import psycopg
import psycopg_pool
import structlog
from procrastinate import JobContext, RetryDecision
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Job, Status
from procrastinate.retry import BaseRetryStrategy
from sqlalchemy.orm import Session

from marketplace_api.config.settings import Settings
from marketplace_api.database.engines import Databases, libpq_url
from marketplace_api.database.session_settings import application_settings, set_up_async
from marketplace_api.domain import contexts
from marketplace_api.gateways.email import make_mailer
from marketplace_api.jobs import cron, failures, schedule
from marketplace_api.jobs.concurrency import QueueConcurrency, threads_of
from marketplace_api.jobs.dispatch import HANDLE_EVENT
from marketplace_api.jobs.failures import UnknownTask, is_temporary
from marketplace_api.jobs.handlers import BY_NAME
from marketplace_api.jobs.outbound import channels
from marketplace_api.jobs.outbound.webhooks import relay_in_background
from marketplace_api.jobs.services import Services
from marketplace_api.jobs.tasks import TASKS
from marketplace_api.logs import bind_request
from marketplace_api.models.kernel.events import Event
from marketplace_api.models.kernel.jobs import Queue

THREADS = 4
MOST_ATTEMPTS = 12
STALLED_SECONDS = 30.0
LONGEST_WAIT_SECONDS = 3600
LONGEST_PAUSE_SECONDS = 15
SHUTDOWN_SECONDS = 25
# However long no worker was there, what should have happened meanwhile happens once when one is.
LATE_SECONDS = 366 * 24 * 3600
LOST_DATABASE = (ConnectorException, psycopg.OperationalError, psycopg_pool.PoolTimeout, OSError)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Work:
    """What a worker does: which ``queues`` it serves, how many jobs of the default one at a time (half as many of each
    other), and after how many seconds without a sign of life a worker counts as dead."""

    threads: int = THREADS
    queues: tuple[Queue, ...] = tuple(Queue)
    stalled_seconds: float = STALLED_SECONDS

    @property
    def threads_of(self) -> dict[str, int]:
        """Jobs at a time by the names of the queues."""
        return threads_of(self.queues, self.threads)


class Backoff(BaseRetryStrategy):
    """Tries again after 2, 4, 8 … seconds, an hour at most, while the cause is one that passes by itself."""

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:
        if not is_temporary(exception) or job.attempts >= MOST_ATTEMPTS:
            return None
        seconds = min(2 ** (job.attempts + 1), LONGEST_WAIT_SECONDS)
        # Spread, so that all that failed together does not come back together.
        jitter = random.uniform(0, seconds / 4)  # noqa: S311  no secret hangs on it
        return RetryDecision(retry_in={"seconds": round(seconds + jitter)})


def run_worker(settings: Settings, databases: Databases, work: Work) -> None:
    """Work until SIGTERM or SIGINT, then finish the jobs in hand and return. Runs in the main thread."""

    async def until_told() -> None:
        stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
        await work_until(stopping, settings, databases, work)

    with relay_in_background(databases):
        asyncio.run(until_told())


def run_pending(settings: Settings, databases: Databases) -> None:
    """Run the jobs that are due now, one after the other, and return: for tests and scripts. The clock does nothing."""

    async def once() -> None:
        async with make_app(databases, ticking=False).open_async() as app:
            await app.run_worker_async(wait=False, listen_notify=False, concurrency=1, **_options(settings, databases))

    asyncio.run(once())


def make_app(
    databases: Databases, work: Work | None = None, *, ticking: bool = True, former: list[int] | None = None
) -> procrastinate.App:
    """The queue as the worker sees it, on a few asynchronous connections of its own; opens none yet. ``former`` is as
    in :class:`QueueConcurrency`."""
    contexts.load()
    # It listens, so it goes past a pooler.
    url = libpq_url(databases.direct.url)
    connector = procrastinate.PsycopgConnector(
        conninfo=url,
        min_size=1,
        max_size=4,
        timeout=5,
        configure=_set_up,
        kwargs={"connect_timeout": 5, "application_name": "marketplace worker"},
    )
    app = procrastinate.App(connector=connector, periodic_defaults={"max_delay": LATE_SECONDS})
    app.job_manager = QueueConcurrency(connector, (work or Work()).threads_of, app.tasks, schedule.CRONS, former)
    app.task(name=HANDLE_EVENT, pass_context=True, retry=Backoff())(handle_event)
    for name, function in TASKS.items():
        app.task(name=name, pass_context=True, retry=Backoff())(_task(function))
    schedule.register(app, _in_session, Backoff(), ticking=ticking)
    return app


async def _set_up(connection: psycopg.AsyncConnection[Any]) -> None:
    """Without transactions: each of the queue's questions is one statement, and BEGIN and COMMIT would be two more trips.

    What is asked of the queues depends on which have a free thread: a plan for all of them would read past everything
    that waits in the others.
    """
    await set_up_async(connection, application_settings(system=True) | {"plan_cache_mode": "force_custom_plan"})


def handle_event(context: JobContext, event_id: int, handler: str) -> None:
    """Run one handler for one event; a handler of that name must be in the table."""

    def run(session: Session, services: Services) -> None:
        event = session.get_one(Event, event_id)
        bind_request(event.request_id, job_id=context.job.id)
        if handler not in BY_NAME:
            raise UnknownTask(handler)
        BY_NAME[handler](session, event, services)
        channels.wake(session)
        session.commit()

    _in_session(context, run)


def _task(function: Callable[..., None]) -> Callable[..., None]:
    """One of ``tasks.TASKS`` as the queue runs it."""

    def job(context: JobContext, **arguments: int | str) -> None:
        def run(session: Session, services: Services) -> None:
            bind_request(None, job_id=context.job.id)
            function(session, services, **arguments)
            channels.wake(session)
            session.commit()

        _in_session(context, run)

    return job


def _in_session(context: JobContext, function: Callable[[Session, Services], None]) -> None:
    with context.additional_context["databases"].session() as session:
        function(session, context.additional_context["services"])


async def work_until(stopping: asyncio.Event, settings: Settings, databases: Databases, work: Work) -> None:
    """Work until ``stopping`` is set, whatever happens to the database in between."""
    log.info("worker.started", threads=work.threads_of)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(sum(work.threads_of.values())))
    pause, former = 1.0, list[int]()
    while not stopping.is_set():
        begun = time.monotonic()
        try:
            await _serve_once(settings, databases, work, stopping, former)
        except LOST_DATABASE as error:
            log.warning("worker.lost_database", reason=type(error).__name__)
        if not stopping.is_set():
            # It also comes here when a side task of the queue gave up, which it does without an error.
            pause = 1.0 if time.monotonic() - begun > 60 else min(pause * 2, LONGEST_PAUSE_SECONDS)
            with suppress(TimeoutError, asyncio.TimeoutError):
                await asyncio.wait_for(stopping.wait(), pause)
    log.info("worker.stopped")


async def _serve_once(
    settings: Settings, databases: Databases, work: Work, stopping: asyncio.Event, former: list[int]
) -> None:
    """Work until told to stop, until the database is lost or until somebody sets the clock."""
    app = make_app(databases, work, former=former)

    async def serve() -> None:
        try:
            await app.open_async()
            await app.run_worker_async(
                queues=list(work.threads_of),
                concurrency=sum(work.threads_of.values()),
                update_heartbeat_interval=work.stalled_seconds / 3,
                stalled_worker_timeout=work.stalled_seconds,
                shutdown_graceful_timeout=SHUTDOWN_SECONDS,
                **_options(settings, databases),
            )
        finally:
            # Also after a half-done opening: the pool's own tasks would keep the process from ending.
            await app.close_async()

    serving = asyncio.create_task(serve())
    set_clock = asyncio.create_task(cron.clock_jumped())
    aside = (asyncio.create_task(stopping.wait()), set_clock, asyncio.create_task(_rescue_always(app, work)))
    await asyncio.wait({serving, *aside}, return_when=asyncio.FIRST_COMPLETED)
    if set_clock.done():
        # The queue's own clock waits for what it holds to be the future.
        log.warning("worker.clock_was_set", seconds=round(set_clock.result()))
    for task in aside:
        task.cancel()
    await asyncio.gather(*aside, return_exceptions=True)
    # Cancelling asks the worker to finish what it holds and to take nothing new.
    assert isinstance(app.job_manager, QueueConcurrency)
    app.job_manager.stop()
    serving.cancel()
    with suppress(asyncio.CancelledError):
        await serving


def _options(settings: Settings, databases: Databases) -> Any:
    return {
        "install_signal_handlers": False,
        "delete_jobs": "successful",
        "additional_context": {"databases": databases, "services": Services(settings, make_mailer(settings))},
        "worker_middleware": [_log_job],
    }


async def _rescue_always(app: procrastinate.App, work: Work) -> None:
    """Beside the jobs, not as one of them: it must not wait behind those that it is for."""
    while True:
        await asyncio.sleep(work.stalled_seconds / 2)
        # Without the database there is nothing to rescue; the worker itself hears that it is gone.
        with suppress(*LOST_DATABASE):
            await rescue(app, work.stalled_seconds)


async def rescue(app: procrastinate.App, stalled_seconds: float = STALLED_SECONDS) -> None:
    """Give the jobs of workers that died back to the queue; a job that keeps killing workers is set to failed."""
    manager = app.job_manager
    for job in await manager.get_stalled_jobs(seconds_since_heartbeat=stalled_seconds):
        # Another worker may be rescuing the same job; the queue lets one of us succeed.
        with suppress(ConnectorException):
            if job.attempts >= MOST_ATTEMPTS:
                await failures.store(app.connector, job, failures.WORKER_DIED)
                await manager.finish_job(job, Status.FAILED, delete_job=False)
            else:
                await manager.retry_job(job)
            log.warning("job.rescued", job_id=job.id, task=job.task_name, attempts=job.attempts)


async def _log_job(proceed: Callable[[], Awaitable[Any]], context: JobContext, _worker: Any) -> Any:
    """One line per job. What failed for good is logged with its traceback by the queue itself."""
    begun = time.monotonic()
    job = context.job
    # Handler and event only: nothing else is ever an argument of a job.
    told = {"task": job.task_name, "job_id": job.id, "attempt": job.attempts + 1, "args": job.task_kwargs}
    try:
        result = await proceed()
    except Exception as error:
        failure = failures.describe(error)
        if is_temporary(error):
            log.warning("job.postponed", reason=failure.error, **told)
        # What is lost with the database is told by the log.
        with suppress(*LOST_DATABASE):
            await failures.store(context.app.connector, job, failure)
        raise
    log.info("job.done", milliseconds=round((time.monotonic() - begun) * 1000, 1), **told)
    return result
