"""E-mails against a real mail server that is down, slow or unwilling, with workers that share the work and die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from marketplace_api.config.settings import Settings
from marketplace_api.database.engines import Databases
from marketplace_api.gateways.email import make_mailer
from marketplace_api.jobs import dispatch, worker
from marketplace_api.jobs.outbound.channels import send_due
from marketplace_api.jobs.schedule import wake_due_deliveries
from marketplace_api.jobs.services import Services
from tests.contracts.smtp_server import Server, free_port, listening
from tests.factories.accounts import make_user
from tests.factories.deliveries import SETTINGS, deliveries
from tests.factories.listings import make_listing
from tests.factories.notifications import notify
from tests.factories.reviews import make_review

PEOPLE = 6
WORKER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from marketplace_api.database.engines import make_databases
from marketplace_api.gateways.email import make_mailer
from marketplace_api.jobs.outbound.channels import send_due
from marketplace_api.jobs.services import Services
from marketplace_api.config.settings import Settings
url, smtp, data = sys.argv[1:]
settings = Settings(email_backend="smtp", smtp_url=smtp, data_dir=Path(data))
with make_databases(url, system=True).session() as session:
    send_due(session, Services(settings, make_mailer(settings)), "email", datetime.now(UTC))
"""


@pytest.fixture
def queued(committed_databases: Databases) -> Iterator[Databases]:
    committed_databases.on_event = dispatch.dispatch
    yield committed_databases


@pytest.fixture
def settings_(tmp_path: Path) -> Settings:
    url = f"smtp://127.0.0.1:{free_port()}"
    return replace(SETTINGS, email_backend="smtp", smtp_url=url, data_dir=tmp_path)


def port_of(settings: Settings) -> int:
    return int(settings.smtp_url.rpartition(":")[2])


def review_everybody(databases: Databases, people: int = PEOPLE) -> list[str]:
    """A review of a listing of each of so many people; returns their addresses."""
    with databases.session() as session:
        author, receivers = make_user(session), [make_user(session) for _ in range(people)]
        for user in receivers:
            make_review(session, author, listing=make_listing(session, user))
        return [str(user.email) for user in receivers]


def send(databases: Databases, settings: Settings, **later: float) -> None:
    """What a worker's job does, so much later."""
    with databases.session() as session:
        send_due(session, Services(settings, make_mailer(settings)), "email", datetime.now(UTC) + timedelta(**later))


def told(databases: Databases) -> Counter[tuple[str, str, str | None]]:
    with databases.session() as session:
        return Counter(deliveries(session))


def test_an_event_becomes_a_mail_by_its_jobs_and_what_is_due_later_by_the_clock(
    queued: Databases, settings_: Settings
) -> None:
    server = Server()
    with listening(server, port_of(settings_)):
        addresses = review_everybody(queued, 2)
        worker.run_pending(settings_, queued)
        assert sorted(str(message["To"]) for message in server.received()) == sorted(addresses)
        with queued.session() as session, session.begin():
            session.execute(sa.text("UPDATE deliveries SET status = 'due', date_done = NULL WHERE channel = 'email'"))
        with queued.session() as session:
            wake_due_deliveries(session, Services(settings_, make_mailer(settings_)))
            wake_due_deliveries(session, Services(settings_, make_mailer(settings_)))
            waiting = session.execute(
                sa.text("SELECT queue_name, args FROM procrastinate_jobs WHERE task_name = 'send_deliveries'")
            ).all()
        assert [tuple(job) for job in waiting] == [("mail", {"channel": "email"})]
        worker.run_pending(settings_, queued)
    assert len(server.contents) == 4
    one, _, again, _ = sorted(server.received(), key=lambda message: str(message["To"]))[:4]
    assert one["Message-ID"] == sorted(m["Message-ID"] for m in server.received() if m["To"] == one["To"])[1]
    assert again["To"] != one["To"]


def test_a_server_that_is_down_put_off_or_refuses_and_comes_back(queued: Databases, settings_: Settings) -> None:
    review_everybody(queued, 3)
    queued.on_event = None
    run_notices(queued, settings_)
    send(queued, settings_)
    assert told(queued) == {("review_received", "due", "unavailable"): 3}
    server = Server()
    server.answer = "451 greylisted"
    with listening(server, port_of(settings_)):
        send(queued, settings_)
        assert server.contents == [] and not server.arrived.is_set()  # none is due yet
        send(queued, settings_, minutes=2)
        assert told(queued) == {("review_received", "due", "unavailable"): 3}
        server.answer = "250 OK"
        send(queued, settings_, minutes=10)
    assert told(queued) == {("review_received", "sent", None): 3}
    review_everybody(queued, 1)
    run_notices(queued, settings_)
    server.answer = "554 no"
    with listening(server, port_of(settings_)):
        send(queued, settings_)
    assert told(queued)["review_received", "failed", "refused"] == 1


def run_notices(databases: Databases, settings: Settings) -> None:
    """The notifications are made and nothing is sent: as of a worker of other queues."""
    with databases.session() as session:
        notify(session)
        session.execute(sa.text("DELETE FROM procrastinate_jobs"))
        session.commit()


def test_workers_share_the_work_and_none_waits_for_a_slow_letter(queued: Databases, settings_: Settings) -> None:
    addresses = review_everybody(queued)
    queued.on_event = None
    run_notices(queued, settings_)
    server = Server()
    server.hold = threading.Event()
    with listening(server, port_of(settings_)):
        workers = [threading.Thread(target=send, args=(queued, settings_)) for _ in range(3)]
        for thread in workers:
            thread.start()
        assert server.arrived.wait(10)
        with queued.session() as session:  # each holds its own message while the server is slow
            deadline = datetime.now(UTC) + timedelta(seconds=10)
            while len(server.contents) < 3 and datetime.now(UTC) < deadline:
                session.execute(sa.text("SELECT pg_sleep(0.02)"))
        assert len(server.contents) == 3
        server.hold.set()
        for thread in workers:
            thread.join(20)
    assert Counter(str(message["To"]) for message in server.received()) == Counter(addresses)
    assert told(queued) == {("review_received", "sent", None): PEOPLE}


def test_a_worker_killed_while_it_sends_loses_nothing(queued: Databases, settings_: Settings) -> None:
    (address,) = review_everybody(queued, 1)
    queued.on_event = None
    run_notices(queued, settings_)
    server = Server()
    server.hold = threading.Event()
    words: list[Any] = [sys.executable, "-c", WORKER, queued.owner_url, settings_.smtp_url, settings_.data_dir]
    with listening(server, port_of(settings_)):
        with subprocess.Popen(words) as process:
            assert server.arrived.wait(30)  # the server has the mail, and nobody was told so
            os.kill(process.pid, signal.SIGKILL)
        server.hold.set()
        gone = "SELECT count(*) FROM pg_locks WHERE relation = 'deliveries'::regclass AND pid <> pg_backend_pid()"
        with queued.session() as session:
            deadline = datetime.now(UTC) + timedelta(seconds=10)
            while session.execute(sa.text(gone)).scalar_one() and datetime.now(UTC) < deadline:
                session.execute(sa.text("SELECT pg_sleep(0.05)"))
        assert told(queued) == {("review_received", "due", None): 1}
        send(queued, settings_)
    assert [str(message["To"]) for message in server.received()] == [address, address]
    first, second = (message["Message-ID"].partition("@")[0] for message in server.received())
    assert first == second
    assert told(queued) == {("review_received", "sent", None): 1}
