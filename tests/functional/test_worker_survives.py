"""Workers that are killed in the middle of a thousand jobs: what they held is done by others, and told once."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import sqlalchemy as sa

from marketplace_api import boot
from marketplace_api.database.engines import Databases
from marketplace_api.domain.kernel.actors import ANONYMOUS
from marketplace_api.domain.kernel.events import EventType, record
from marketplace_api.jobs import dispatch
from tests.factories.accounts import make_user
from tests.support import killable_worker

PEOPLE, LOGINS = 200, 4
SECONDS = 120
LEFT = """
    SELECT (SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'handle_event' OR status <> 'todo')
        + (SELECT count(*) FROM deliveries WHERE status = 'due')
"""
"""What is to be done, and what is in somebody's hands, be they dead."""


@contextmanager
def _worker(url: str, folder: Path, log: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", killable_worker.__name__, url, str(folder)]
    process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait(30)


def _ask(databases: Databases, question: str) -> Any:
    with databases.session() as session:
        return session.execute(sa.text(question)).scalar_one()


def _until_left(databases: Databases, most: int) -> None:
    deadline = time.monotonic() + SECONDS
    while _ask(databases, LEFT) > most:
        assert time.monotonic() < deadline, f"more than {most} jobs are left"
        time.sleep(0.02)


def _make_jobs(databases: Databases) -> list[str]:
    """A thousand events, each of which notifies somebody and mails them; returns the addresses."""
    databases.on_event = dispatch.dispatch
    with databases.session() as session, session.begin():
        users = [make_user(session) for _ in range(PEOPLE)]
        for user in users:
            record(session, ANONYMOUS, EventType.USER_PASSWORD_CHANGED, user.user_id)
            for _ in range(LOGINS):
                record(session, ANONYMOUS, EventType.USER_LOGGED_IN, user.user_id, new={"new_device": True})
        return [str(user.email) for user in users]


def test_what_killed_workers_held_is_done_and_each_notification_is_there_once(
    committed_databases: Databases, tmp_path: Path
) -> None:
    databases, url = committed_databases, boot.connection_url(committed_databases)
    addresses = _make_jobs(databases)
    with (tmp_path / "log").open("wb") as log, ExitStack() as stack:
        first, second, last = (stack.enter_context(_worker(url, tmp_path, log)) for _ in range(3))
        for doomed, left in ((first, 1000), (second, 500)):
            _until_left(databases, left)
            doomed.kill()
            assert doomed.wait(30) == -signal.SIGKILL
        _until_left(databases, 0)
        last.send_signal(signal.SIGTERM)
        assert last.wait(30) == 0
    events = "SELECT array_agg(event_id ORDER BY event_id) FROM events WHERE type IN ('user.password_changed', 'user.logged_in')"
    told = "SELECT array_agg(event_id ORDER BY event_id) FROM notifications"
    assert len(_ask(databases, told)) == PEOPLE * (1 + LOGINS)
    assert _ask(databases, told) == _ask(databases, events)
    assert _ask(databases, "SELECT sum(total_count) FROM notification_boxes") == PEOPLE * (1 + LOGINS)
    mails = Counter(
        next(line for line in path.read_text().splitlines() if line.startswith("To: ")).removeprefix("To: ")
        for path in (tmp_path / "mail").glob("*.eml")
    )
    assert set(mails) == set(addresses)
    assert min(mails.values()) >= 1 + LOGINS, "nothing is lost"
    assert sum(mails.values()) < 1.02 * PEOPLE * (1 + LOGINS), "only what was in hand is done again"
    assert b"job.rescued" in (tmp_path / "log").read_bytes(), "nobody died with a job in hand"
    assert _ask(databases, "SELECT count(*) FROM procrastinate_jobs WHERE status <> 'todo'") == 0
