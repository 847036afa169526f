"""What tests of the worker have in common: things that happen, the queue behind them, and what they led to."""

from __future__ import annotations

import asyncio
import email
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import policy
from email.message import EmailMessage
from typing import Any

import pytest
import sqlalchemy as sa

from marketplace_api.config.settings import Settings
from marketplace_api.database.engines import Databases
from marketplace_api.domain.kernel.actors import ANONYMOUS
from marketplace_api.domain.kernel.events import EventType, record
from marketplace_api.jobs import handlers, worker
from marketplace_api.models.kernel.jobs import Queue


def happen(databases: Databases, type: EventType, subject_id: int) -> None:
    with databases.session() as session, session.begin():
        record(session, ANONYMOUS, type, subject_id)


def jobs_of(databases: Databases) -> list[Any]:
    with databases.session() as session:
        return list(
            session.execute(
                sa.text(
                    "SELECT id, status::text, attempts, scheduled_at FROM procrastinate_jobs "
                    "WHERE task_name = 'handle_event' ORDER BY id"
                )
            )
        )


def make_due(databases: Databases) -> None:
    with databases.session() as session, session.begin():
        session.execute(sa.text("UPDATE procrastinate_jobs SET scheduled_at = NULL WHERE status = 'todo'"))


def mails_of(settings: Settings) -> list[EmailMessage]:
    messages = []
    for path in sorted((settings.data_dir / "mail").glob("*.eml")):
        message = email.message_from_bytes(path.read_bytes(), policy=policy.default)
        assert isinstance(message, EmailMessage)
        messages.append(message)
    return messages


def use(monkeypatch: pytest.MonkeyPatch, handler: Callable[..., None]) -> None:
    """Have jobs of ``mail_password_changed`` run ``handler`` instead."""
    monkeypatch.setattr(worker, "BY_NAME", {**handlers.BY_NAME, "mail_password_changed": handler})


@contextmanager
def working(settings: Settings, databases: Databases, *queues: Queue) -> Iterator[None]:
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


def wait_for(true: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)
