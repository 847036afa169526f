"""The clock: one tick however long nobody was there, and a line about each run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from procrastinate.periodic import PeriodicDeferrer
from sqlalchemy.orm import Session

from marketplace_api.config.settings import Settings
from marketplace_api.database.engines import Databases
from marketplace_api.errors import Unavailable
from marketplace_api.jobs import cron, schedule, schedule_runs, worker

MINUTELY, NIGHTLY = "compact_search_terms", "recount"


def _ticks(databases: Databases) -> list[str]:
    with databases.session() as session:
        statement = "SELECT task_name FROM procrastinate_jobs WHERE status = 'todo' ORDER BY id"
        return list(session.execute(sa.text(statement)).scalars())


def test_after_a_day_without_workers_or_a_clock_that_was_set_each_task_ticks_once(
    committed_databases: Databases,
) -> None:
    async def work() -> None:
        async with worker.make_app(committed_databases).open_async() as app:
            for since in (None, int(time.time()) // 60 * 60 - 86_400):
                deferrer = PeriodicDeferrer(app.periodic_registry, **app.periodic_defaults)
                if since is not None:
                    # A worker that slept meanwhile, or whose clock was set forward; nothing waits any more.
                    deferrer.last_defers = dict.fromkeys(app.periodic_registry.periodic_tasks, since)
                    with committed_databases.session() as session, session.begin():
                        session.execute(sa.text("DELETE FROM procrastinate_jobs"))
                        session.execute(sa.text("DELETE FROM procrastinate_periodic_defers"))
                await deferrer.defer_jobs(deferrer.get_previous_tasks(at=time.time()))
                assert sorted(_ticks(committed_databases)) == sorted(schedule.CRONS)
                with committed_databases.session() as session:
                    said = session.execute(sa.text("SELECT count(*) FROM procrastinate_periodic_defers")).scalar_one()
                assert said == len(schedule.CRONS)

    asyncio.run(work())


def test_a_clock_that_is_set_is_noticed_and_one_that_is_corrected_is_not() -> None:
    offsets: Iterator[float] = iter([0.0, 30.0, 60.0, 90.0, -3600.0])
    jumped = asyncio.run(asyncio.wait_for(cron.clock_jumped(lambda: next(offsets), every=0.001), 10))
    assert jumped == -3690


def test_when_something_is_due() -> None:
    now = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
    assert cron.last_due("0 * * * *", now.timestamp()) == now.timestamp()
    assert cron.last_due("0 * * * *", now.timestamp() - 1) == now.timestamp() - 3600
    assert cron.next_due("37 4 * * *", now) == datetime(2026, 3, 2, 4, 37, tzinfo=UTC)


def _run(databases: Databases, settings: Settings) -> dict[str, Any]:
    """What is told of the nightly task after a tick of it."""
    with databases.session() as session, session.begin():
        session.execute(sa.text("UPDATE procrastinate_jobs SET scheduled_at = NULL WHERE status = 'todo'"))
        session.execute(
            sa.text(
                "INSERT INTO procrastinate_jobs (queue_name, task_name, queueing_lock, args) "
                "VALUES ('default', CAST(:task AS text), CAST(:task AS text), '{\"timestamp\": 0}') ON CONFLICT DO NOTHING"
            ),
            {"task": NIGHTLY},
        )
    worker.run_pending(settings, databases)
    with databases.session() as session:
        (line,) = (line for line in _lines(session, datetime.now(UTC)) if line["task"] == NIGHTLY)
    return line


def _lines(session: Session, now: datetime) -> list[dict[str, Any]]:
    return schedule_runs.log_outcome(session, schedule.CRONS, now)


def test_each_run_is_told_with_its_outcome_and_overdue_until_one_succeeds(
    committed_databases: Databases, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    databases = committed_databases
    errors: list[Exception] = [KeyError("ada@example.org"), Unavailable("The storage is away.")]

    def fail(_session: Any) -> dict[str, int]:
        if errors:
            raise errors.pop(0)
        return {}

    monkeypatch.setattr(schedule.counters, "repair", fail)
    line = _run(databases, settings)
    assert (line["outcome"], line["error"]) == ("failed", "KeyError")
    assert _ticks(databases) == [], "the next tick tries again"
    line = _run(databases, settings)
    assert (line["outcome"], line["error"]) == ("failed", "Unavailable")
    assert line["overdue"] is not None
    assert _ticks(databases) == [NIGHTLY], "what passes by itself is tried again before that"
    line = _run(databases, settings)
    assert (line["outcome"], line["error"], line["overdue"]) == ("done", None, None)
    assert 0 <= line["seconds"] < 60
    assert line["next_run"] > datetime.now(UTC)
    with databases.session() as session:
        (later,) = (line for line in _lines(session, line["next_run"] + timedelta(hours=1)) if line["task"] == NIGHTLY)
        assert later["overdue"] == 3600
        (never,) = (line for line in _lines(session, datetime.now(UTC)) if line["task"] == MINUTELY)
    assert (never["last_run"], never["outcome"], never["overdue"]) == (None, None, None)
