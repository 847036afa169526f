"""The worker against a real queue: it runs, tries again, survives, and rescues what others left."""

from __future__ import annotations

import asyncio
import email
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from procrastinate.jobs import Job
from sqlalchemy.exc import IntegrityError, OperationalError

from marketplace_api import work_facts
from marketplace_api.db import Databases
from marketplace_api.domain.accounts import recovery, registration
from marketplace_api.domain.accounts.rules import AccountRules
from marketplace_api.domain.actors import ANONYMOUS, operator
from marketplace_api.domain.events import EventType, record
from marketplace_api.errors import NotFound, Unavailable
from marketplace_api.gateways.email import make_mailer
from marketplace_api.jobs import board, failures, handlers, queue, schedule, worker
from marketplace_api.jobs.outbox import defer
from marketplace_api.jobs.services import Services
from marketplace_api.models.accounts import User
from marketplace_api.models.jobs import Queue
from marketplace_api.settings import Settings
from tests.postgres import as_owner


@pytest.fixture
def queued(committed_databases: Databases) -> Iterator[Databases]:
    committed_databases.on_event = queue.dispatch
    yield committed_databases


@pytest.fixture
def ours(settings: Settings, tmp_path: Path) -> Settings:
    return replace(settings, data_dir=tmp_path)


@pytest.fixture
def ada(queued: Databases, ours: Settings) -> User:
    with queued.session() as session, session.begin():
        user = registration.create_account(
            session, AccountRules.from_settings(ours), username="ada", email="ada@example.org",
            password="correct horse battery", roles=(), actor=operator("test"), confirmed=True,
        )  # fmt: skip
    # The jobs of the registration are not what these tests are about.
    worker.run_pending(ours, queued)
    return user


def _happen(databases: Databases, type: EventType, subject_id: int) -> None:
    with databases.session() as session, session.begin():
        record(session, ANONYMOUS, type, subject_id)


def _jobs(databases: Databases) -> list[Any]:
    with databases.session() as session:
        return list(
            session.execute(
                sa.text(
                    "SELECT id, status::text, attempts, scheduled_at FROM procrastinate_jobs "
                    "WHERE task_name = 'handle_event' ORDER BY id"
                )
            )
        )


def _make_due(databases: Databases) -> None:
    with databases.session() as session, session.begin():
        session.execute(sa.text("UPDATE procrastinate_jobs SET scheduled_at = NULL WHERE status = 'todo'"))


def _mails(settings: Settings) -> list[EmailMessage]:
    messages = []
    for path in sorted((settings.data_dir / "mail").glob("*.eml")):
        message = email.message_from_bytes(path.read_bytes(), policy=policy.default)
        assert isinstance(message, EmailMessage)
        messages.append(message)
    return messages


def _use(monkeypatch: pytest.MonkeyPatch, handler: Callable[..., None]) -> None:
    """Have jobs of ``mail_password_changed`` run ``handler`` instead."""
    monkeypatch.setattr(worker, "BY_NAME", {**handlers.BY_NAME, "mail_password_changed": handler})


def test_a_mail_arrives_with_a_working_token(queued: Databases, ours: Settings, ada: User) -> None:
    _happen(queued, EventType.USER_PASSWORD_RESET_REQUESTED, ada.user_id)
    worker.run_pending(ours, queued)
    (message,) = _mails(ours)
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
    _happen(queued, EventType.USER_PASSWORD_CHANGED, ada.user_id)
    worker.run_pending(ours, queued)
    assert len(_mails(ours)) == 1
    assert _jobs(queued) == []


def test_what_is_temporarily_impossible_is_tried_again_later(
    queued: Databases, ours: Settings, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def flaky(_session: Any, event: Any, _services: Any) -> None:
        calls.append(event.event_id)
        if len(calls) < 3:
            raise Unavailable("The mail server does not answer.")

    _use(monkeypatch, flaky)
    _happen(queued, EventType.USER_PASSWORD_CHANGED, ada.user_id)
    worker.run_pending(ours, queued)
    (job,) = _jobs(queued)
    assert (job.status, job.attempts) == ("todo", 1)
    assert job.scheduled_at > datetime.now(UTC) + timedelta(seconds=1)
    for _ in range(2):
        _make_due(queued)
        worker.run_pending(ours, queued)
    assert len(calls) == 3
    assert len(set(calls)) == 1
    assert _jobs(queued) == []


def test_a_mistake_is_not_tried_again_and_changes_nothing(
    queued: Databases, ours: Settings, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(session: Any, _event: Any, _services: Any) -> None:
        session.get(User, ada.user_id).bio = "half done"
        session.flush()
        raise KeyError("a mistake")

    _use(monkeypatch, broken)
    _happen(queued, EventType.USER_PASSWORD_CHANGED, ada.user_id)
    worker.run_pending(ours, queued)
    assert [job.status for job in _jobs(queued)] == ["failed"]
    with queued.session() as session:
        assert session.get_one(User, ada.user_id).bio is None
        board.retry(session, _jobs(queued)[0].id)
        session.commit()
    monkeypatch.undo()
    worker.run_pending(ours, queued)
    assert len(_mails(ours)) == 1


def test_waiting_doubles_up_to_an_hour_and_then_ends() -> None:
    job = Job(
        id=1, lock=None, queueing_lock=None, task_name="handle_event", queue="default", task_kwargs={}, priority=0,
        scheduled_at=None,
    )  # fmt: skip
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
    _happen(queued, EventType.USER_PASSWORD_RESET_REQUESTED, ada.user_id)
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
    assert [job.status for job in _jobs(queued)] == ["doing"]
    _rescue(queued)
    worker.run_pending(ours, queued)
    _make_due(queued)
    worker.run_pending(ours, queued)
    assert len(_mails(ours)) == 1
    assert _jobs(queued) == []


def test_a_job_that_keeps_killing_workers_ends_as_failed(queued: Databases, ours: Settings, ada: User) -> None:
    _happen(queued, EventType.USER_PASSWORD_RESET_REQUESTED, ada.user_id)
    with queued.session() as session, session.begin():
        session.execute(
            sa.text("UPDATE procrastinate_jobs SET status = 'doing', attempts = :most"),
            {"most": worker.MOST_ATTEMPTS},
        )
    _rescue(queued)
    worker.run_pending(ours, queued)
    with queued.session() as session:
        (listed,) = board.list_jobs(session, board.Chosen(status="failed"), 9)
    assert listed["error"] == f"WorkerDied: {failures.WORKER_DIED.message}"


def test_every_tick_of_the_clock_runs(queued: Databases, ours: Settings, ada: User) -> None:
    with queued.session() as session, session.begin():
        user = session.get_one(User, ada.user_id)
        user.state, user.deactivated_at = (
            "deactivated",
            datetime.now(UTC) - timedelta(days=ours.erase_days + 1),
        )
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


@contextmanager
def _working(settings: Settings, databases: Databases, *queues: Queue) -> Iterator[None]:
    """A worker of these queues, or of all, in a thread of its own for the time of the block."""
    loops: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def work() -> None:
        stopping = asyncio.Event()
        loops.append((asyncio.get_running_loop(), stopping))
        await worker.work_until(stopping, settings, databases, worker.Work(2, queues or tuple(Queue)))

    thread = threading.Thread(target=lambda: asyncio.run(work()))
    thread.start()
    try:
        yield
    finally:
        ((loop, stopping),) = loops
        loop.call_soon_threadsafe(stopping.set)
        thread.join(30)
        assert not thread.is_alive()


def test_a_running_worker_hears_of_a_job_and_survives_a_lost_connection(
    queued: Databases, ours: Settings, ada: User
) -> None:
    # Of one queue only: no other job has a connection in hand while all are thrown away.
    with _working(ours, queued, Queue.MAIL):
        _happen(queued, EventType.USER_PASSWORD_CHANGED, ada.user_id)
        _wait_for(lambda: len(_mails(ours)) == 1 and all(job.status == "todo" for job in _jobs(queued)))
        with queued.write.begin() as connection, as_owner(connection):
            connection.execute(
                sa.text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )
        queued.dispose()
        _happen(queued, EventType.USER_PASSWORD_CHANGED, ada.user_id)
        _wait_for(lambda: len(_mails(ours)) == 2)
        with queued.session() as session:
            assert session.execute(sa.text(work_facts.WORKERS)).scalar_one() == 1, "it is not counted twice"


def test_a_worker_told_to_stop_finishes_the_job_in_hand(
    queued: Databases, ours: Settings, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, finished = threading.Event(), threading.Event()

    def slow(_session: Any, _event: Any, _services: Any) -> None:
        begun.set()
        time.sleep(1)
        finished.set()

    _use(monkeypatch, slow)
    with _working(ours, queued):
        _happen(queued, EventType.USER_PASSWORD_CHANGED, ada.user_id)
        assert begun.wait(20)
    assert finished.is_set()
    assert _jobs(queued) == []


def test_a_neighbour_that_does_not_answer_holds_up_its_own_queue_only(
    queued: Databases, ours: Settings, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, begun = threading.Event(), []

    def wait(_session: Any, event: Any, _services: Any) -> None:
        begun.append(event.event_id)
        assert answers.wait(60)

    _use(monkeypatch, wait)
    for _ in range(6):
        _happen(queued, EventType.USER_PASSWORD_CHANGED, ada.user_id)
    with _working(ours, queued):
        _wait_for(lambda: len(_jobs(queued)) == 6)
        assert len(begun) == 1, "half as many threads as the default queue has"
        # Also what comes while it waits, and what comes to another queue.
        _happen(queued, EventType.USER_LOGGED_IN, ada.user_id)
        with queued.session() as session, session.begin():
            defer(session, "purge_expired", {"timestamp": 0}, queue=Queue.SMS)
        _wait_for(lambda: len(_jobs(queued)) == 6 and not _waiting(queued, "purge_expired"))
        answers.set()
        _wait_for(lambda: _jobs(queued) == [])
    assert len(begun) == 6


def test_a_worker_serves_the_queues_that_it_is_told_to(queued: Databases, ours: Settings, ada: User) -> None:
    _happen(queued, EventType.USER_PASSWORD_CHANGED, ada.user_id)
    with _working(ours, queued, Queue.MAIL, Queue.SMS):
        _wait_for(lambda: len(_mails(ours)) == 1)
    with queued.session() as session:
        (left,) = board.list_jobs(session, board.Chosen(task="notify_of_password"), 9)
    assert (left["status"], left["queue"]) == ("todo", "default")


def _waiting(databases: Databases, task: str) -> bool:
    with databases.session() as session:
        return bool(board.list_jobs(session, board.Chosen(task=task, queue="sms"), 1))


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

    _use(monkeypatch, fail)
    _happen(queued, EventType.USER_PASSWORD_CHANGED, ada.user_id)
    for _ in range(2):
        _make_due(queued)
        worker.run_pending(ours, queued)
    with queued.session() as session:
        (listed,) = board.list_jobs(session, board.Chosen(status="failed"), 9)
        assert listed["error"].startswith("KeyError: The code looked something up")
        board.retry(session, listed["job_id"])
        session.commit()
    worker.run_pending(ours, queued)
    with queued.session() as session:
        found = board.find(session, listed["job_id"])
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


def _wait_for(true: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)
