"""The worker against a real queue: it runs, tries again, and rescues what others left."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from procrastinate.jobs import Job
from sqlalchemy.exc import IntegrityError, OperationalError

from marketplace_api.config.settings import Settings
from marketplace_api.database.engines import Databases
from marketplace_api.domain.identity.accounts import recovery
from marketplace_api.domain.identity.accounts.config import AccountRules
from marketplace_api.domain.kernel.actors import ANONYMOUS
from marketplace_api.domain.kernel.events import EventType
from marketplace_api.errors import NotFound, Unavailable
from marketplace_api.gateways.email import make_mailer
from marketplace_api.jobs import admin, failures, schedule, worker
from marketplace_api.jobs.services import Services
from marketplace_api.models.identity.accounts import User
from tests.unit.jobs.queue_world import happen, jobs_of, mails_of, make_due, use


def test_a_mail_arrives_with_a_working_token(queued: Databases, ours: Settings, ada: User) -> None:
    happen(queued, EventType.USER_PASSWORD_RESET_REQUESTED, ada.user_id)
    worker.run_pending(ours, queued)
    (message,) = mails_of(ours)
    body = message.get_body(("plain",))
    assert body is not None
    token = re.search(r"token=([\w-]+)", body.get_content())
    assert token is not None
    with queued.session() as session, session.begin():
        recovery.reset_password(
            session,
            AccountRules.from_settings(ours),
            token=token[1],
            new_password="another long password",
            actor=ANONYMOUS,
        )


def test_what_is_done_leaves_the_queue(queued: Databases, ours: Settings, ada: User) -> None:
    happen(queued, EventType.USER_PASSWORD_CHANGED, ada.user_id)
    worker.run_pending(ours, queued)
    assert len(mails_of(ours)) == 1
    assert jobs_of(queued) == []


def test_what_is_temporarily_impossible_is_tried_again_later(
    queued: Databases, ours: Settings, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def flaky(_session: Any, event: Any, _services: Any) -> None:
        calls.append(event.event_id)
        if len(calls) < 3:
            raise Unavailable("The mail server does not answer.")

    use(monkeypatch, flaky)
    happen(queued, EventType.USER_PASSWORD_CHANGED, ada.user_id)
    worker.run_pending(ours, queued)
    (job,) = jobs_of(queued)
    assert (job.status, job.attempts) == ("todo", 1)
    assert job.scheduled_at > datetime.now(UTC) + timedelta(seconds=1)
    for _ in range(2):
        make_due(queued)
        worker.run_pending(ours, queued)
    assert len(calls) == 3
    assert len(set(calls)) == 1
    assert jobs_of(queued) == []


def test_a_mistake_is_not_tried_again_and_changes_nothing(
    queued: Databases, ours: Settings, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(session: Any, _event: Any, _services: Any) -> None:
        session.get(User, ada.user_id).bio = "half done"
        session.flush()
        raise KeyError("a mistake")

    use(monkeypatch, broken)
    happen(queued, EventType.USER_PASSWORD_CHANGED, ada.user_id)
    worker.run_pending(ours, queued)
    assert [job.status for job in jobs_of(queued)] == ["failed"]
    with queued.session() as session:
        assert session.get_one(User, ada.user_id).bio is None
        admin.retry(session, jobs_of(queued)[0].id)
        session.commit()
    monkeypatch.undo()
    worker.run_pending(ours, queued)
    assert len(mails_of(ours)) == 1


def test_waiting_doubles_up_to_an_hour_and_then_ends() -> None:
    job = Job(
        id=1,
        lock=None,
        queueing_lock=None,
        task_name="handle_event",
        queue="default",
        task_kwargs={},
        priority=0,
        scheduled_at=None,
    )
    waits = []
    for attempts in range(worker.MOST_ATTEMPTS):
        decision = worker.Backoff().get_retry_decision(exception=Unavailable("away"), job=job.evolve(attempts=attempts))
        assert decision is not None and decision.retry_at is not None
        waits.append((decision.retry_at - datetime.now(UTC)).total_seconds())
    assert 1 <= waits[0] <= 3
    assert 3000 < waits[-1] <= 4501
    spent = job.evolve(attempts=worker.MOST_ATTEMPTS)
    assert worker.Backoff().get_retry_decision(exception=Unavailable("away"), job=spent) is None


@pytest.mark.parametrize(
    ("error", "temporary"),
    [
        (Unavailable("away"), True),
        (OperationalError("SELECT", {}, Exception("gone")), True),
        (psycopg.OperationalError("gone"), True),
        (IntegrityError("INSERT", {}, Exception("twice")), False),
        (NotFound("none"), False),
        (KeyError("slip"), False),
    ],
)
def test_only_what_passes_by_itself_is_temporary(error: Exception, temporary: bool) -> None:
    assert failures.is_temporary(error) is temporary


def test_the_job_of_a_killed_worker_returns(queued: Databases, ours: Settings, ada: User) -> None:
    happen(queued, EventType.USER_PASSWORD_RESET_REQUESTED, ada.user_id)
    with queued.session() as session, session.begin():
        # What kill -9 leaves behind: a worker whose heart stopped, and its job in hand.
        worker_id = session.execute(
            sa.text(
                "INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - interval '1 hour') RETURNING id"
            )
        ).scalar_one()
        session.execute(
            sa.text("SELECT id FROM procrastinate_fetch_job_v2(NULL, :worker_id)"), {"worker_id": worker_id}
        )
    assert [job.status for job in jobs_of(queued)] == ["doing"]
    _rescue(queued)
    worker.run_pending(ours, queued)
    make_due(queued)
    worker.run_pending(ours, queued)
    assert len(mails_of(ours)) == 1
    assert jobs_of(queued) == []


def test_a_job_that_keeps_killing_workers_ends_as_failed(queued: Databases, ours: Settings, ada: User) -> None:
    happen(queued, EventType.USER_PASSWORD_RESET_REQUESTED, ada.user_id)
    with queued.session() as session, session.begin():
        session.execute(
            sa.text("UPDATE procrastinate_jobs SET status = 'doing', attempts = :most"), {"most": worker.MOST_ATTEMPTS}
        )
    _rescue(queued)
    worker.run_pending(ours, queued)
    with queued.session() as session:
        (listed,) = admin.list_jobs(session, admin.Criteria(status="failed"), 9)
    assert listed["error"] == f"WorkerDied: {failures.WORKER_DIED.message}"


def test_every_tick_of_the_clock_runs(queued: Databases, ours: Settings, ada: User) -> None:
    with queued.session() as session, session.begin():
        user = session.get_one(User, ada.user_id)
        user.state, user.deactivated_at = ("deactivated", datetime.now(UTC) - timedelta(days=ours.erase_days + 1))
        session.execute(
            sa.text(
                "INSERT INTO one_time_tokens (token_hash, user_id, purpose, email, expires_at) "
                "VALUES ('\\x00', :id, 'reset_password', 'ada@example.org', now() - interval '1 hour'), "
                "('\\x01', :id, 'confirm_email', 'ada@example.org', now() + interval '1 hour')"
            ),
            {"id": ada.user_id},
        )
    for periodic in schedule.all_periodic():
        if periodic["task"] != "erase_due_accounts":
            _tick(queued, periodic["task"])
    worker.run_pending(ours, queued)
    with queued.session() as session:
        assert session.execute(sa.text("SELECT purpose FROM one_time_tokens")).scalars().all() == ["confirm_email"]
    _tick(queued, "erase_due_accounts")
    worker.run_pending(ours, queued)
    with queued.session() as session:
        assert session.get_one(User, ada.user_id).state == "erased"
        left = session.execute(sa.text("SELECT task_name, status::text FROM procrastinate_jobs WHERE status <> 'todo'"))
        assert left.all() == []


def test_why_each_attempt_failed_is_kept_without_a_word_about_anybody(
    queued: Databases, ours: Settings, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised: list[Exception] = [
        Unavailable("The mail server does not answer (TimeoutError)."),
        KeyError("ada@example.org"),
    ]

    def fail(session: Any, _event: Any, _services: Any) -> None:
        if raised:
            raise raised.pop(0)
        session.execute(
            sa.text(
                "INSERT INTO one_time_tokens (token_hash, user_id, purpose, email, expires_at) "
                "VALUES ('\\x00', 0, 'reset_password', 'ada@example.org', now())"
            )
        )

    use(monkeypatch, fail)
    happen(queued, EventType.USER_PASSWORD_CHANGED, ada.user_id)
    for _ in range(2):
        make_due(queued)
        worker.run_pending(ours, queued)
    with queued.session() as session:
        (listed,) = admin.list_jobs(session, admin.Criteria(status="failed"), 9)
        assert listed["error"].startswith("KeyError: The code looked something up")
        admin.retry(session, listed["job_id"])
        session.commit()
    worker.run_pending(ours, queued)
    with queued.session() as session:
        found = admin.find(session, listed["job_id"])
        errors = [(error["attempt"], error["error"], error["message"]) for error in found["errors"]]
        assert errors[:2] == [
            (1, "Unavailable", "The mail server does not answer (TimeoutError)."),
            (
                2,
                "KeyError",
                "The code looked something up that was not there. What it was about stands in the worker's log.",
            ),
        ]
        assert errors[2][1] == "ForeignKeyViolation"
        assert errors[2][2].startswith("The database refused it (23503, one_time_tokens, ")
        assert all(error["place"].startswith("jobs/worker.py:") for error in found["errors"])
        assert "ada" not in repr(found["errors"])
        # They go with their job.
        session.execute(sa.text("UPDATE procrastinate_events SET at = now() - interval '31 days'"))
        schedule.forget_ended_jobs(session, Services(ours, make_mailer(ours)))
        assert session.execute(sa.text("SELECT count(*) FROM job_errors")).scalar_one() == 0


def _rescue(databases: Databases) -> None:
    async def once() -> None:
        async with worker.make_app(databases).open_async() as app:
            await worker.rescue(app)

    asyncio.run(once())


def _tick(databases: Databases, task: str) -> None:
    with databases.session() as session, session.begin():
        session.execute(
            sa.text(
                "INSERT INTO procrastinate_jobs (queue_name, task_name, args) "
                "VALUES ('default', :task, '{\"timestamp\": 0}')"
            ),
            {"task": task},
        )
