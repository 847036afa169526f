"""Workers that run: what they hear of, survive and leave to others."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
import sqlalchemy as sa

from marketplace_api.config.settings import Settings
from marketplace_api.database.engines import Databases
from marketplace_api.diagnostics import queries
from marketplace_api.domain.kernel.events import EventType
from marketplace_api.jobs import admin
from marketplace_api.jobs.enqueue import defer
from marketplace_api.models.identity.accounts import User
from marketplace_api.models.kernel.jobs import Queue
from tests.support.postgres import as_owner
from tests.unit.jobs.queue_world import happen, jobs_of, mails_of, use, wait_for, working


def test_a_running_worker_hears_of_a_job_and_survives_a_lost_connection(
    queued: Databases, ours: Settings, ada: User
) -> None:
    # Of one queue only: no other job has a connection in hand while all are thrown away.
    with working(ours, queued, Queue.MAIL):
        happen(queued, EventType.USER_PASSWORD_CHANGED, ada.user_id)
        wait_for(lambda: len(mails_of(ours)) == 1 and all(job.status == "todo" for job in jobs_of(queued)))
        with queued.write.begin() as connection, as_owner(connection):
            connection.execute(
                sa.text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )
        queued.dispose()
        happen(queued, EventType.USER_PASSWORD_CHANGED, ada.user_id)
        wait_for(lambda: len(mails_of(ours)) == 2)
        with queued.session() as session:
            assert session.execute(sa.text(queries.WORKERS)).scalar_one() == 1, "it is not counted twice"


def test_a_worker_told_to_stop_finishes_the_job_in_hand(
    queued: Databases, ours: Settings, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, finished = threading.Event(), threading.Event()

    def slow(_session: Any, _event: Any, _services: Any) -> None:
        begun.set()
        time.sleep(1)
        finished.set()

    use(monkeypatch, slow)
    with working(ours, queued):
        happen(queued, EventType.USER_PASSWORD_CHANGED, ada.user_id)
        assert begun.wait(20)
    assert finished.is_set()
    assert jobs_of(queued) == []


def test_a_neighbour_that_does_not_answer_holds_up_its_own_queue_only(
    queued: Databases, ours: Settings, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, begun = threading.Event(), []

    def wait(_session: Any, event: Any, _services: Any) -> None:
        begun.append(event.event_id)
        assert answers.wait(60)

    use(monkeypatch, wait)
    for _ in range(6):
        happen(queued, EventType.USER_PASSWORD_CHANGED, ada.user_id)
    with working(ours, queued):
        wait_for(lambda: len(jobs_of(queued)) == 6)
        assert len(begun) == 1, "half as many threads as the default queue has"
        # Also what comes while it waits, and what comes to another queue.
        happen(queued, EventType.USER_LOGGED_IN, ada.user_id)
        with queued.session() as session, session.begin():
            defer(session, "purge_expired", {"timestamp": 0}, queue=Queue.SMS)
        wait_for(lambda: len(jobs_of(queued)) == 6 and not _waiting(queued, "purge_expired"))
        answers.set()
        wait_for(lambda: jobs_of(queued) == [])
    assert len(begun) == 6


def test_a_worker_serves_the_queues_that_it_is_told_to(queued: Databases, ours: Settings, ada: User) -> None:
    happen(queued, EventType.USER_PASSWORD_CHANGED, ada.user_id)
    with working(ours, queued, Queue.MAIL, Queue.SMS):
        wait_for(lambda: len(mails_of(ours)) == 1)
    with queued.session() as session:
        (left,) = admin.list_jobs(session, admin.Criteria(task="notify_of_password"), 9)
    assert (left["status"], left["queue"]) == ("todo", "default")


def _waiting(databases: Databases, task: str) -> bool:
    with databases.session() as session:
        return bool(admin.list_jobs(session, admin.Criteria(task=task, queue="sms"), 1))
