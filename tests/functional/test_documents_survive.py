"""No document without a verification and no verification without its document, whatever crashes, fills up or goes away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from marketplace_api.config.settings import Settings
from marketplace_api.database.engines import Databases
from marketplace_api.domain.identity.accounts.config import AccountRules
from marketplace_api.domain.media.files.sweep import Report, sweep
from marketplace_api.domain.privacy import erasure
from marketplace_api.gateways.storage import LocalStorage
from marketplace_api.jobs import dispatch
from marketplace_api.jobs.worker import run_pending
from marketplace_api.models.kernel.events import Event
from marketplace_api.models.media.files import File
from marketplace_api.models.trust.verifications import Verification
from tests.factories.accounts import PASSWORD, People
from tests.factories.verifications import make_pdf
from tests.support.client import Client, Named
from tests.support.crash_document import POINTS
from tests.support.problems import assert_problem

OWN = "/api/users/me/verification"
PDF = make_pdf(size=200_000)
LATER = timedelta(hours=2)


@pytest.fixture
def storage(live_storage: LocalStorage) -> LocalStorage:
    return live_storage


@pytest.fixture
def owner(live_people: People, storage: LocalStorage) -> Client:
    return live_people.customer()


def send(client: Client) -> Any:
    file = Named("mine.pdf", "application/pdf", PDF)
    return client.request("POST", OWN, {"document_type": "passport", "file": file})


def document_address(moderator: Client) -> str:
    (item,) = moderator.get("/api/moderation/verifications").json["verifications"]
    return f"{item['_links']['self']['href']}/document?reason=Routine"


def swept(databases: Databases, storage: LocalStorage) -> Report:
    with databases.session() as session:
        return sweep(session, storage, datetime.now(UTC) + LATER)


def assert_together(databases: Databases, storage: LocalStorage) -> None:
    with databases.session() as session:
        rows = session.execute(sa.select(File.key, File.state)).all()
        held = set(session.execute(sa.select(Verification.file_key)).scalars()) - {None}
    assert {row.key for row in rows} == held == {file.key for file in storage.walk("document-")}
    assert {row.state for row in rows} <= {"stored"}
    assert {path.name for path in storage.folder.rglob("*") if path.is_file()} == held


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_process_leaves_nothing_apart(
    point: str, committed_databases: Databases, storage: LocalStorage, owner: Client
) -> None:
    url = committed_databases.write.url.render_as_string(hide_password=False)
    arguments = [url, str(storage.folder.parent), str(owner.user.user_id), point]
    root = Path(__file__).resolve().parents[2]
    died = subprocess.run(
        [sys.executable, "-m", "tests.support.crash_document", *arguments],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    left = [path.read_bytes() for path in storage.folder.rglob("*") if path.is_file()]
    assert all(b"A very secret passport" not in content and b"%PDF" not in content for content in left)
    swept(committed_databases, storage)
    assert_together(committed_databases, storage)
    assert owner.get(OWN).json["status"] == ("pending" if point == "committed" else "none")
    assert send(owner).status_int == (409 if point == "committed" else 200)


def test_a_full_disk(
    committed_databases: Databases, storage: LocalStorage, owner: Client, limited_files: Callable[[int], Any]
) -> None:
    with limited_files(100_000):
        answer = send(owner)
    assert "nothing was saved" in assert_problem(answer, 503, "unavailable")["detail"]
    assert int(answer.headers["Retry-After"]) > 0
    assert owner.get(OWN).json["status"] == "none"
    assert_together(committed_databases, storage)
    assert send(owner).status_int == 200


def test_a_storage_that_is_away(
    committed_databases: Databases, storage: LocalStorage, owner: Client, live_people: People
) -> None:
    moderator = live_people.moderator()
    send(owner)
    address = document_address(moderator)
    away = storage.folder.rename(storage.folder.with_name("elsewhere"))
    storage.folder.write_text("a file where the folder was")
    assert_problem(moderator.get(address), 503, "unavailable")
    other = live_people.customer()
    assert_problem(send(other), 503, "unavailable")
    assert other.get(OWN).json["status"] == "none"
    storage.folder.unlink()
    away.rename(storage.folder)
    with committed_databases.session() as session:
        opened = sa.select(sa.func.count()).where(Event.type == "verification.document_opened")
        assert session.execute(opened).scalar_one() == 0
    assert moderator.get(address).body == PDF
    swept(committed_databases, storage)
    assert_together(committed_databases, storage)


def test_a_lost_document_is_found_by_the_sweep_and_asked_for_again(
    committed_databases: Databases, storage: LocalStorage, owner: Client, live_people: People
) -> None:
    moderator = live_people.moderator()
    send(owner)
    address = document_address(moderator)
    (file,) = storage.walk("document-")
    storage.delete(file.key)
    assert swept(committed_databases, storage).missing == (file.key,)
    assert_problem(moderator.get(address), 500, "document_damaged")
    assert moderator.post(address.replace("document?reason=Routine", "reject"), {"reason": "Lost."}).status_int == 200
    assert send(owner).status_int == 200


def test_erasure_reaches_the_storage(
    committed_databases: Databases,
    storage: LocalStorage,
    settings: Settings,
    live_people: People,
    owner: Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From the owner's own deletion to the worker that clears the files."""
    monkeypatch.setattr("marketplace_api.jobs.services.make_storage", lambda _settings: storage)
    committed_databases.on_event = dispatch.dispatch
    moderator = live_people.moderator()
    send(owner)
    address = document_address(moderator)
    item = address.partition("/document")[0]
    assert moderator.post(f"{item}/approve").status_int == 200
    assert owner.delete("/api/users/me", {"password": PASSWORD}).status_int == 200
    assert moderator.get(item).json["username"] is None
    assert "mkt:profile" not in moderator.get(item).json["_links"]
    with committed_databases.session() as session, session.begin():
        rules = AccountRules.from_settings(settings)
        assert erasure.erase_due(session, rules, datetime.now(UTC) + timedelta(days=31)) == 1
    assert_problem(moderator.get(item), 404, "not_found")
    assert_problem(moderator.get(address), 404, "not_found")
    run_pending(settings, committed_databases)
    assert list(storage.walk("document-")) == []
    assert_together(committed_databases, storage)
