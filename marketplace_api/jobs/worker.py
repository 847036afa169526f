"""The worker process: takes jobs from the queue and runs each in a thread, with a session of its own.

Any number may run. One that is told to stop finishes the jobs in hand; one that loses PostgreSQL waits for it to come
back; the jobs of one that is killed return to the queue within about two minutes.
"""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import procrastinate
import psycopg
import psycopg_pool
import structlog
from procrastinate import JobContext, RetryDecision
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Job
from procrastinate.retry import BaseRetryStrategy
from sqlalchemy.exc import DBAPIError, OperationalError, TimeoutError
from sqlalchemy.orm import Session

from marketplace_api import row_security
from marketplace_api.db import Databases, libpq_url
from marketplace_api.errors import Unavailable
from marketplace_api.gateways.email import make_mailer
from marketplace_api.jobs import channels, schedule
from marketplace_api.jobs.handlers import BY_NAME
from marketplace_api.jobs.queue import HANDLE_EVENT
from marketplace_api.jobs.services import Services
from marketplace_api.jobs.tasks import TASKS
from marketplace_api.logs import bind_request
from marketplace_api.models.events import Event
from marketplace_api.settings import Settings

THREADS = 4
LONGEST_WAIT_SECONDS = 3600
LONGEST_PAUSE_SECONDS = 15
SHUTDOWN_SECONDS = 25
LOST_DATABASE = (ConnectorException, psycopg.OperationalError, psycopg_pool.PoolTimeout, OSError)

log = structlog.get_logger(__name__)


class Backoff(BaseRetryStrategy):
    """Tries again after 2, 4, 8 … seconds, an hour at most, while the cause is one that passes by itself."""

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:
        if not is_temporary(exception) or job.attempts >= schedule.MOST_ATTEMPTS:
            return None
        seconds = min(2 ** (job.attempts + 1), LONGEST_WAIT_SECONDS)
        # Spread, so that all that failed together does not come back together.
        jitter = random.uniform(0, seconds / 4)  # noqa: S311  no secret hangs on it
        return RetryDecision(retry_in={"seconds": round(seconds + jitter)})


def is_temporary(error: BaseException) -> bool:
    """Whether the same job can succeed later without anybody mending anything in it."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    return isinstance(error, Unavailable | OperationalError | TimeoutError | psycopg.OperationalError)


def run_worker(settings: Settings, databases: Databases, *, threads: int = THREADS) -> None:
    """Work until SIGTERM or SIGINT, then finish the jobs in hand and return. Runs in the main thread."""

    async def until_told() -> None:
        stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
        await work_until(stopping, settings, databases, threads)

    asyncio.run(until_told())


def run_pending(settings: Settings, databases: Databases) -> None:
    """Run the jobs that are due now, one after the other, and return: for tests and scripts."""

    async def once() -> None:
        async with make_app(databases).open_async() as app:
            await app.run_worker_async(wait=False, listen_notify=False, **_options(settings, databases, 1))

    asyncio.run(once())


def make_app(databases: Databases) -> procrastinate.App:
    """The queue as the worker sees it, on a few asynchronous connections of its own; opens none yet."""
    url = libpq_url(databases.write.url)
    connector = procrastinate.PsycopgConnector(
        conninfo=url,
        min_size=1,
        max_size=4,
        timeout=5,
        kwargs={
            "connect_timeout": 5,
            "application_name": "marketplace worker",
            "options": row_security.startup_options(system=True),
        },
    )
    app = procrastinate.App(connector=connector)
    app.task(name=HANDLE_EVENT, pass_context=True, retry=Backoff())(handle_event)
    for name, function in TASKS.items():
        app.task(name=name, pass_context=True, retry=Backoff())(_task(function))
    schedule.register(app, _in_session)
    return app


def handle_event(context: JobContext, event_id: int, handler: str) -> None:
    """Run one handler for one event; a handler of that name must be in the table."""

    def run(session: Session, services: Services) -> None:
        event = session.get_one(Event, event_id)
        bind_request(event.request_id, job_id=context.job.id)
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


async def work_until(stopping: asyncio.Event, settings: Settings, databases: Databases, threads: int) -> None:
    """Work until ``stopping`` is set, whatever happens to the database in between."""
    log.info("worker.started", threads=threads)
    pause = 1.0
    while not stopping.is_set():
        begun = time.monotonic()
        try:
            await _serve_once(settings, databases, threads, stopping)
        except LOST_DATABASE as error:
            log.warning("worker.lost_database", reason=type(error).__name__)
        if not stopping.is_set():
            # It also comes here when a side task of the queue gave up, which it does without an error.
            pause = 1.0 if time.monotonic() - begun > 60 else min(pause * 2, LONGEST_PAUSE_SECONDS)
            with suppress(TimeoutError, asyncio.TimeoutError):
                await asyncio.wait_for(stopping.wait(), pause)
    log.info("worker.stopped")


async def _serve_once(settings: Settings, databases: Databases, threads: int, stopping: asyncio.Event) -> None:
    """Work until told to stop or until the database is lost."""

    async def serve() -> None:
        app = make_app(databases)
        try:
            await app.open_async()
            options = _options(settings, databases, threads)
            await app.run_worker_async(shutdown_graceful_timeout=SHUTDOWN_SECONDS, **options)
        finally:
            # Also after a half-done opening: the pool's own tasks would keep the process from ending.
            await app.close_async()

    serving = asyncio.create_task(serve())
    told = asyncio.create_task(stopping.wait())
    await asyncio.wait({serving, told}, return_when=asyncio.FIRST_COMPLETED)
    told.cancel()
    # Cancelling asks the worker to finish what it holds and to take nothing new.
    serving.cancel()
    with suppress(asyncio.CancelledError):
        await serving


def _options(settings: Settings, databases: Databases, threads: int) -> Any:
    return {
        "concurrency": threads,
        "install_signal_handlers": False,
        "delete_jobs": "successful",
        "additional_context": {
            "databases": databases,
            "services": Services(settings, make_mailer(settings)),
        },
        "worker_middleware": [_log_job],
    }


async def _log_job(proceed: Callable[[], Awaitable[Any]], context: JobContext, _worker: Any) -> Any:
    """One line per job. What failed for good is logged with its traceback by the queue itself."""
    begun = time.monotonic()
    job = context.job
    # Handler and event only: nothing else is ever an argument of a job.
    told = {"task": job.task_name, "job_id": job.id, "attempt": job.attempts + 1, "args": job.task_kwargs}
    try:
        result = await proceed()
    except Exception as error:
        if is_temporary(error):
            log.warning("job.postponed", reason=type(error).__name__, **told)
        raise
    log.info("job.done", milliseconds=round((time.monotonic() - begun) * 1000, 1), **told)
    return result
