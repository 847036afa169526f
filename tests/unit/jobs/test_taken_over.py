"""A job that a worker holds while another has taken it over."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import sqlalchemy as sa
from procrastinate.jobs import Status

from marketplace_api.database.engines import Databases
from marketplace_api.jobs import worker
from marketplace_api.jobs.enqueue import defer


def _statuses(databases: Databases) -> Sequence[str]:
    with databases.session() as session:
        return session.execute(sa.text("SELECT status::text FROM procrastinate_jobs ORDER BY id")).scalars().all()


def test_who_comes_back_to_a_job_that_another_has_taken_over_leaves_it_alone(committed_databases: Databases) -> None:
    """As a worker whose machine stood still: it was not dead, and knows nothing of what happened meanwhile."""
    queued = committed_databases
    with queued.session() as session, session.begin():
        defer(session, "sweep_files", {"timestamp": 0})

    async def story() -> list[Sequence[str]]:
        frozen, other = worker.make_app(queued), worker.make_app(queued)
        seen = []
        async with frozen.open_async(), other.open_async():
            held = await frozen.job_manager.fetch_job(None, await frozen.job_manager.register_worker())
            with queued.session() as session, session.begin():
                session.execute(sa.text("UPDATE procrastinate_workers SET last_heartbeat = now() - interval '1 hour'"))
            other_id = await other.job_manager.register_worker()
            await worker.rescue(other)
            taken = await other.job_manager.fetch_job(None, other_id)
            assert held is not None and taken is not None and held.id == taken.id
            for status, delete in ((Status.FAILED, False), (Status.SUCCEEDED, True)):
                await frozen.job_manager.finish_job(held, status, delete)
            await frozen.job_manager.retry_job(held)
            seen.append(_statuses(queued))
            await other.job_manager.finish_job(taken, Status.SUCCEEDED, delete_job=True)
            seen.append(_statuses(queued))
            await frozen.job_manager.finish_job(held, Status.SUCCEEDED, delete_job=True)
        return seen

    assert asyncio.run(story()) == [["doing"], []]
