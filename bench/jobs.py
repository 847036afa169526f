"""The worker: how many jobs a second one process does, and how soon it begins one."""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from marketplace_api.config.settings import Settings
from marketplace_api.database.engines import Databases, make_databases
from marketplace_api.domain.kernel.actors import ANONYMOUS
from marketplace_api.domain.kernel.events import EventType, record
from marketplace_api.jobs import dispatch, worker
from marketplace_api.jobs.enqueue import defer
from marketplace_api.models.kernel.jobs import Queue

JOBS, LOOKS, PEOPLE = 2_000, 100, 50
PATIENCE_SECONDS = 300

_ADD_PERSON = sa.text(
    "INSERT INTO users (username, email, roles) VALUES (CAST(:name AS text), CAST(:name AS text) || '@people.example', '{customer}') RETURNING user_id"
)
# Those of the clock come and go by themselves.
_LEFT = sa.text("SELECT EXISTS (SELECT FROM procrastinate_jobs WHERE task_name IN ('handle_event', 'note_start'))")


def measure(url: str, folder: Path, jobs: int = JOBS, looks: int = LOOKS) -> dict[str, Any]:
    """Jobs a second, and CPU milliseconds of the worker for each, of those that have nothing to do (``idle``) and of those
    that notify (``notify``); and milliseconds from commit to start (``start_median``, ``start_p99``) of an idle worker."""
    databases = make_databases(url, on_event=dispatch.dispatch, system=True)
    try:
        with databases.session() as session, session.begin():
            people = [session.execute(_ADD_PERSON, {"name": f"j{time.time_ns()}"}).scalar_one() for _ in range(PEOPLE)]
        return {
            "jobs": jobs,
            "idle": _throughput(databases, folder, people, jobs, new_device=False),
            "notify": _throughput(databases, folder, people, jobs, new_device=True),
            **_latency(databases, folder, looks),
        }
    finally:
        databases.dispose()


def _throughput(
    databases: Databases, folder: Path, people: list[int], jobs: int, *, new_device: bool
) -> dict[str, float]:
    with databases.session() as session, session.begin():
        for number in range(jobs):
            who = people[number % len(people)]
            record(session, ANONYMOUS, EventType.USER_LOGGED_IN, who, new={"new_device": new_device})
    began, cpu = time.perf_counter(), time.process_time()
    with _working(databases, folder), databases.session() as session:
        while session.execute(_LEFT).scalar_one():
            session.rollback()
            time.sleep(0.05)
            if time.perf_counter() - began > PATIENCE_SECONDS:
                raise RuntimeError("the worker does not get to the end of its jobs")
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
    return {"per_second": round(jobs / took, 1), "cpu_ms": round(cpu * 1000 / jobs, 2)}


def _latency(databases: Databases, folder: Path, looks: int) -> dict[str, float]:
    started = threading.Event()
    times: list[float] = []

    def note_start(_session: Any, _services: Any) -> None:
        times.append(time.perf_counter())
        started.set()

    tasks = worker.TASKS
    worker.TASKS = {**tasks, note_start.__name__: note_start}
    waits = []
    try:
        with _working(databases, folder):
            time.sleep(1)
            for _ in range(looks):
                started.clear()
                with databases.session() as session, session.begin():
                    defer(session, note_start.__name__, {}, queue=Queue.DEFAULT)
                committed = time.perf_counter()
                if not started.wait(PATIENCE_SECONDS):
                    raise RuntimeError("the worker did not begin a job")
                waits.append((times[-1] - committed) * 1000)
                time.sleep(0.01)
    finally:
        worker.TASKS = tasks
    waits.sort()
    return {
        "start_median": round(statistics.median(waits), 2),
        "start_p99": round(waits[min(len(waits) - 1, int(len(waits) * 0.99))], 2),
    }


@contextmanager
def _working(databases: Databases, folder: Path) -> Iterator[None]:
    """One worker, in a thread of this process."""
    told: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def work() -> None:
        told.append((asyncio.get_running_loop(), asyncio.Event()))
        await worker.work_until(told[0][1], Settings(data_dir=folder), databases, worker.Work())

    thread = threading.Thread(target=lambda: asyncio.run(work()))
    thread.start()
    try:
        yield
    finally:
        while not told:
            time.sleep(0.01)
        ((loop, stopping),) = told
        loop.call_soon_threadsafe(stopping.set)
        thread.join(60)
