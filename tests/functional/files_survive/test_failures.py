"""Processes that are killed, disks that are full, servers that go: database and storage stay together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from marketplace_api.config.settings import Settings
from marketplace_api.database.engines import Databases
from marketplace_api.errors import Unavailable
from marketplace_api.gateways.storage import LocalStorage
from marketplace_api.gateways.storage.s3 import S3Storage
from tests.functional.files_survive.world import LATER, PNG, SOON, add, assert_together, objects, path_of, states, swept
from tests.support.client import Client
from tests.support.crash import POINTS
from tests.support.seaweed import ACCESS_KEY, SECRET_KEY, Seaweed


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_process_leaves_nothing_apart(
    point: str, committed_databases: Databases, storage: LocalStorage, listing: Any, owner: Client
) -> None:
    add(owner, listing)
    url = committed_databases.write.url.render_as_string(hide_password=False)
    arguments = [url, str(storage.folder.parent), str(listing.listing_id), point]
    root = Path(__file__).resolve().parents[3]
    died = subprocess.run(
        [sys.executable, "-m", "tests.support.crash", *arguments],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    kept = point == "committed"
    assert states(committed_databases).count("pending") == (0 if kept else 3)
    before = objects(storage)
    # What may still be under way is left alone.
    assert swept(committed_databases, storage, SOON).cleared == 0
    assert objects(storage) == before
    report = swept(committed_databases, storage, LATER)
    assert (report.cleared, report.unfinished) == (0 if kept else 3, 1 if point == "writing" else 0)
    assert report.is_clean
    assert_together(committed_databases, storage)
    assert len(owner.get(path_of(listing)).json["photos"]) == (2 if kept else 1)
    assert [path for path in storage.folder.rglob("*") if path.is_file() and path.name not in objects(storage)] == []


def test_a_full_disk(
    committed_databases: Databases,
    storage: LocalStorage,
    listing: Any,
    owner: Client,
    limited_files: Callable[[int], Any],
) -> None:
    add(owner, listing)
    with limited_files(30):
        answer = add(owner, listing)
    assert (answer.status_int, answer.json["code"]) == (503, "unavailable")
    assert "nothing was saved" in answer.json["detail"]
    assert int(answer.headers["Retry-After"]) > 0
    assert_together(committed_databases, storage)
    assert add(owner, listing).status_int == 201


def test_a_storage_that_cannot_be_used(
    committed_databases: Databases, storage: LocalStorage, listing: Any, owner: Client
) -> None:
    photo = add(owner, listing).json
    away = storage.folder.rename(storage.folder.with_name("elsewhere"))
    storage.folder.write_text("a file where the folder was")
    assert add(owner, listing).status_int == 503
    assert owner.request("POST", "/api/users/me/picture", {"file": PNG}).status_int == 503
    assert owner.get(photo["urls"]["full"]).status_int == 503
    ready = owner.get("/readyz")
    assert (ready.status_int, ready.json["status"], ready.json["degraded"]) == (200, "degraded", ["storage"])
    assert ready.json["checks"]["storage"].startswith("The storage of files cannot be used now")
    assert 'marketplace_degraded{check="storage"} 1.0' in owner.get("/metrics").text
    with pytest.raises(Unavailable):
        swept(committed_databases, storage, LATER)
    storage.folder.unlink()
    away.rename(storage.folder)
    assert owner.get("/readyz").json["checks"]["storage"] == "ok"
    swept(committed_databases, storage, LATER)
    assert_together(committed_databases, storage)
    assert owner.get(photo["urls"]["full"]).status_int == 200
    assert owner.get("/api/users/me").json["profile_picture_url"] is None


def test_a_real_s3_server_that_goes_and_comes_back(
    tmp_path: Path, committed_databases: Databases, live_app: Any, listing: Any, owner: Client
) -> None:
    server = Seaweed(tmp_path / "s3" / "data")
    server.start()
    try:
        server.client().create_bucket(Bucket="photos")
        storage = live_app.registry.storage = S3Storage.from_settings(
            Settings(
                storage_backend="s3",
                storage_bucket="photos",
                storage_endpoint=server.address,
                storage_access_key=ACCESS_KEY,
                storage_secret_key=SECRET_KEY,
            )
        )
        photo = add(owner, listing).json
        fetched = owner.get(photo["urls"]["full"])
        assert fetched.headers["Content-Type"] == "image/webp"
        part = owner.request("GET", photo["urls"]["full"], headers={"Range": "bytes=4-11"})
        assert (part.status_int, part.body) == (206, fetched.body[4:12])
        assert_together(committed_databases, storage)
        gone = add(owner, listing).json
        server.stop()
        answer = add(owner, listing)
        assert (answer.status_int, answer.json["code"]) == (503, "unavailable")
        assert owner.get(photo["urls"]["full"]).status_int == 503
        ready = owner.get("/readyz")
        assert (ready.status_int, ready.json["degraded"]) == (200, ["storage"])
        assert owner.delete(gone["_links"]["self"]["href"]).status_int == 200
        assert sorted(set(states(committed_databases))) == ["doomed", "pending", "stored"]
        server.start()
        assert swept(committed_databases, storage, LATER).cleared == 6
        assert_together(committed_databases, storage)
        assert owner.get(photo["urls"]["full"]).body == fetched.body
    finally:
        server.stop()
