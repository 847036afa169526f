"""A restored copy serves the same answers: with files in a folder, with files on S3, and of one moment among many writes."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import time_machine

from marketplace_api.config.settings import Settings
from marketplace_api.database.engines import Databases
from marketplace_api.gateways.storage import LocalStorage, UrlSigner
from marketplace_api.gateways.storage.s3 import S3Storage
from tests.factories.accounts import make_user
from tests.factories.conversations import send
from tests.factories.listings import make_listing
from tests.functional.backups.world import PDF, Marketplace, Place
from tests.support.seaweed import ACCESS_KEY, SECRET_KEY, Seaweed

SIGNER = UrlSigner.from_secret("secret")


def assert_the_same_answers(marketplace: Marketplace, live_app: Any, current: Any, target: Place, storage: Any) -> None:
    """Compares what the application says on what it now has with what it says on the target."""
    with time_machine.travel(datetime.now(UTC), tick=False):
        before = marketplace.answers()
        current.target, live_app.registry.storage = target.databases, storage
        after = marketplace.answers()
    assert len(before) > 100
    assert {200} < {status for status, _etag, _body in before.values()}
    assert any(path.startswith("/files/") for _name, path in before)
    assert {key: after.get(key) for key in before if after.get(key) != before[key]} == {}
    assert after.keys() == before.keys()
    (item,) = marketplace.moderator.get("/api/moderation/verifications").json["verifications"]
    document = marketplace.moderator.get(f"{item['_links']['self']['href']}/document?reason=Routine")
    assert document.body == PDF


def test_with_files_in_a_folder(
    source: Place, target: Place, marketplace: Marketplace, live_app: Any, current: Any, tmp_path: Path
) -> None:
    made = source.told("db", "backup", tmp_path / "copy.tar", "--with-files")
    assert (made["files"], made["files_included"], made["document_keys"]) == (7, 7, {"development": 1})
    restored = target.told("db", "restore", tmp_path / "copy.tar")
    assert (restored["files_present"], restored["files_missing"], restored["needs_upgrade"]) == (7, [], False)
    assert target.files == source.files
    assert b"A very secret passport" not in (tmp_path / "copy.tar").read_bytes()
    assert_the_same_answers(marketplace, live_app, current, target, LocalStorage(target.folder / "files", SIGNER))


@pytest.fixture
def seaweed(tmp_path: Path) -> Any:
    server = Seaweed(tmp_path / "s3" / "data")
    server.start()
    for bucket in ("before", "after"):
        server.client().create_bucket(Bucket=bucket)
    yield server
    server.stop()


def test_with_files_on_s3(
    source: Place,
    target: Place,
    live_app: Any,
    current: Any,
    seaweed: Seaweed,
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    storages = {}
    for place, bucket in ((source, "before"), (target, "after")):
        place.environment |= {
            "STORAGE_BACKEND": "s3",
            "S3_BUCKET": bucket,
            "S3_ENDPOINT": seaweed.address,
            "S3_ACCESS_KEY": ACCESS_KEY,
            "S3_SECRET_KEY": SECRET_KEY,
        }
        storages[bucket] = S3Storage.from_settings(
            Settings(
                storage_backend="s3",
                storage_bucket=bucket,
                storage_endpoint=seaweed.address,
                storage_access_key=ACCESS_KEY,
                storage_secret_key=SECRET_KEY,
            )
        )
    live_app.registry.storage = storages["before"]
    marketplace = request.getfixturevalue("marketplace")
    assert source.told("db", "backup", tmp_path / "copy.tar", "--with-files")["files_included"] == 7
    assert target.told("db", "restore", tmp_path / "copy.tar")["files_present"] == 7
    assert {file.key for file in storages["after"].walk("")} == {file.key for file in storages["before"].walk("")}
    assert target.told("db", "check", "--contents")["files_present"] == 7
    assert_the_same_answers(marketplace, live_app, current, target, storages["after"])


@pytest.mark.usefixtures("marketplace")
def test_writes_go_on_and_the_copy_is_of_one_moment(source: Place, target: Place, tmp_path: Path) -> None:
    """The restore itself compares counts and checksums, and PostgreSQL all foreign keys; counters must agree, too."""
    done, written = threading.Event(), 0

    def write(databases: Databases) -> None:
        nonlocal written
        with databases.session() as session:
            sender, owner = make_user(session), make_user(session)
            session.commit()
            while not done.is_set():
                listing = make_listing(session, owner)
                session.commit()
                send(session, sender, owner, listing_id=listing.listing_id)
                written += 1

    writer = threading.Thread(target=write, args=(source.databases,))
    writer.start()
    try:
        made = source.told("db", "backup", tmp_path / "copy.tar")
        before_end = written
    finally:
        done.set()
        writer.join()
    assert before_end > 0
    restored = target.told("db", "restore", tmp_path / "copy.tar", code=5)
    assert restored["rows"] == made["rows"]
    assert len(restored["files_missing"]) == 7
    ((listings, messages, events),) = target.ask(
        "SELECT (SELECT count(*) FROM listings), (SELECT count(*) FROM messages), "
        "(SELECT count(*) FROM events WHERE type = 'message.sent')"
    )
    assert messages == events
    assert listings - 3 - (messages - 2) in (0, 1)
    assert source.ask("SELECT count(*) FROM listings") > [(listings,)]
    with target.databases.session() as session:
        assert session.execute(
            sa.text("SELECT nextval(pg_get_serial_sequence('listings', 'listing_id'))")
        ).scalar_one() > (session.execute(sa.text("SELECT max(listing_id) FROM listings")).scalar_one())
