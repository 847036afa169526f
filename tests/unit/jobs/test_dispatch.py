"""An event's jobs exist exactly if its transaction commits; a burst makes one debounced job."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import transaction
import zope.sqlalchemy
from sqlalchemy.orm import Session

from marketplace_api.config.settings import Settings
from marketplace_api.database.engines import Databases
from marketplace_api.domain.kernel.actors import ANONYMOUS
from marketplace_api.domain.kernel.events import EventType, record
from marketplace_api.errors import Conflict, NotFound
from marketplace_api.jobs import admin, dispatch, worker


@pytest.fixture
def queued(committed_databases: Databases) -> Iterator[Databases]:
    committed_databases.on_event = dispatch.dispatch
    yield committed_databases


def _jobs(databases: Databases) -> list[Any]:
    with databases.session() as session:
        return list(
            session.execute(
                sa.text("SELECT id, status::text, queueing_lock, args, attempts FROM procrastinate_jobs ORDER BY id")
            )
        )


def test_a_job_is_there_only_after_the_commit(queued: Databases) -> None:
    with queued.session() as session:
        record(session, ANONYMOUS, EventType.USER_DEACTIVATED, 1)
        assert _jobs(queued) == []
        session.commit()
    (job,) = _jobs(queued)
    assert job.args["handler"] == "mail_deactivated"


def test_a_rollback_takes_the_job_along(queued: Databases) -> None:
    with queued.session() as session:
        record(session, ANONYMOUS, EventType.USER_DEACTIVATED, 1)
        session.rollback()
        session.commit()
    assert _jobs(queued) == []


def test_a_savepoint_takes_only_its_own_job_along(queued: Databases) -> None:
    with queued.session() as session:
        record(session, ANONYMOUS, EventType.USER_DEACTIVATED, 1)
        with session.begin_nested() as savepoint:
            record(session, ANONYMOUS, EventType.USER_DEACTIVATED, 2)
            savepoint.rollback()
        session.commit()
    assert len(_jobs(queued)) == 1


def test_a_session_of_the_transaction_manager_commits_its_jobs(queued: Databases) -> None:
    manager = transaction.TransactionManager(explicit=True)
    for abort in (True, False):
        manager.begin()
        session = queued.session()
        zope.sqlalchemy.register(session, transaction_manager=manager)
        record(session, ANONYMOUS, EventType.USER_DEACTIVATED, 1)
        manager.abort() if abort else manager.commit()
        assert len(_jobs(queued)) == (0 if abort else 1)


def test_each_handler_of_an_event_is_a_job_of_its_own(queued: Databases) -> None:
    with queued.session() as session, session.begin():
        record(session, ANONYMOUS, EventType.USER_EMAIL_CHANGE_REQUESTED, 1)
    assert [job.args["handler"] for job in _jobs(queued)] == ["mail_confirmation", "warn_old_address"]


def test_events_that_nobody_handles_make_no_job(queued: Databases) -> None:
    with queued.session() as session, session.begin():
        record(session, ANONYMOUS, EventType.USER_EDITED, 1)
    assert _jobs(queued) == []


def test_a_burst_of_changes_makes_one_job(queued: Databases) -> None:
    for listing_id in range(3):
        with queued.session() as session, session.begin():
            record(session, ANONYMOUS, EventType.LISTING_DELETED, listing_id)
            record(session, ANONYMOUS, EventType.LISTING_DELETED, listing_id)
    (job,) = _jobs(queued)
    assert job.queueing_lock == "refresh_search_terms"


def test_open_transactions_do_not_wait_for_each_other(queued: Databases) -> None:
    with queued.session() as first, queued.session() as second:
        record(first, ANONYMOUS, EventType.LISTING_DELETED, 1)
        second.execute(sa.text("SET LOCAL statement_timeout = '2s'"))
        record(second, ANONYMOUS, EventType.LISTING_DELETED, 2)
        second.commit()
        first.commit()
    assert len(_jobs(queued)) == 1


def test_many_writers_at_once_all_commit(queued: Databases) -> None:
    failures: list[Exception] = []

    def write(number: int) -> None:
        try:
            for _ in range(5):
                with queued.session() as session, session.begin():
                    record(session, ANONYMOUS, EventType.LISTING_CREATED, number)
        except Exception as error:  # whatever it is, the test shall show it
            failures.append(error)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert failures == []
    with queued.session() as session:
        assert session.execute(sa.text("SELECT count(*) FROM events")).scalar_one() == 40
    assert len(_jobs(queued)) == 1


def test_only_failed_jobs_are_tried_again(queued: Databases) -> None:
    with queued.session() as session, session.begin():
        record(session, ANONYMOUS, EventType.USER_DEACTIVATED, 1)
    with queued.session() as session:
        (listed,) = admin.list_jobs(session, admin.Criteria(), 10)
        assert admin.list_jobs(session, admin.Criteria(status="failed"), 10) == []
        with pytest.raises(Conflict):
            admin.retry(session, listed["job_id"])
        with pytest.raises(NotFound):
            admin.retry(session, 987_654)
        _fail(session, listed["job_id"])
        admin.retry(session, listed["job_id"])
        session.commit()
    assert [job.status for job in _jobs(queued)] == ["todo"]


def _fail(session: Session, job_id: int) -> None:
    for status in ("doing", "failed"):
        session.execute(
            sa.text("UPDATE procrastinate_jobs SET status = CAST(:status AS procrastinate_job_status) WHERE id = :id"),
            {"status": status, "id": job_id},
        )


def test_a_job_of_another_release_says_that_it_is_one(queued: Databases, settings: Settings, tmp_path: Path) -> None:
    with queued.session() as session, session.begin():
        record(session, ANONYMOUS, EventType.USER_DEACTIVATED, 1)
        session.flush()
        session.execute(
            sa.text("UPDATE procrastinate_jobs SET args = jsonb_set(args, '{handler}', '\"mail_by_dove\"')")
        )
        session.execute(
            sa.text("INSERT INTO procrastinate_jobs (queue_name, task_name) VALUES ('default', 'count_stars')")
        )
    worker.run_pending(replace(settings, data_dir=tmp_path), queued)
    with queued.session() as session:
        told = {row["error"] for row in admin.list_jobs(session, admin.Criteria(status="failed"), 9)}
    assert told == {
        f"UnknownTask: This release knows no task {name!r}; a worker of the one that made the job does."
        for name in ("mail_by_dove", "count_stars")
    }
