"""No file without a row and no row without a file, whatever crashes, fills up or goes away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.db import Databases
from marketplace_api.domain.accounts import erasure
from marketplace_api.domain.accounts.rules import AccountRules
from marketplace_api.domain.actors import operator
from marketplace_api.domain.files import photos, store
from marketplace_api.domain.files.sweep import MOST_STRAYS, Report, sweep
from marketplace_api.errors import Conflict, NotFound, Unavailable
from marketplace_api.gateways.storage import LocalStorage, S3Storage, Storage, UrlSigner, new_key
from marketplace_api.jobs import queue
from marketplace_api.jobs.worker import run_pending
from marketplace_api.models.accounts import User
from marketplace_api.models.files import File, ListingPhoto
from marketplace_api.models.listings import Listing
from marketplace_api.settings import Settings
from tests.client import Client
from tests.crash import POINTS
from tests.factories.accounts import People
from tests.factories.images import make_image
from tests.factories.listings import make_listing
from tests.seaweed import ACCESS_KEY, SECRET_KEY, Seaweed

PNG = make_image("PNG")
SOON = timedelta(minutes=5)
LATER = timedelta(hours=2)


@pytest.fixture
def storage(tmp_path: Path, live_app: Any) -> Iterator[LocalStorage]:
    """A folder of the test's own, which the application uses meanwhile."""
    before = live_app.registry.storage
    live_app.registry.storage = LocalStorage(tmp_path / "files", UrlSigner.from_secret("secret"))
    yield live_app.registry.storage
    live_app.registry.storage = before


@pytest.fixture
def owner(live_people: People, storage: Storage) -> Client:
    return live_people.customer()


@pytest.fixture
def listing(live_people: People, owner: Client) -> Any:
    return make_listing(live_people.session, owner.user)


def path_of(row: Any) -> str:
    return f"/api/listings/{row.listing_id}/photos"


def add(client: Client, row: Any) -> Any:
    return client.request("POST", path_of(row), {"file": PNG})


def swept(databases: Databases, storage: Storage, after: timedelta) -> Report:
    with databases.session() as session:
        return sweep(session, storage, datetime.now(UTC) + after)


def states(databases: Databases) -> list[str]:
    with databases.session() as session:
        return list(session.execute(sa.select(File.state)).scalars())


def objects(storage: Storage) -> set[str]:
    return {file.key for kind in store.KINDS for file in storage.walk(f"{kind}-")}


def assert_together(databases: Databases, storage: Storage) -> None:
    """Each row has its object and each object its row; each photo has three of them, each listing counts right."""
    with databases.session() as session:
        rows = set(session.execute(sa.select(File.key).where(File.state == "stored")).scalars())
        assert rows == objects(storage)
        assert session.scalar(sa.select(sa.func.count()).where(File.state != "stored")) == 0
        used = session.execute(sa.select(ListingPhoto.full_key, ListingPhoto.card_key, ListingPhoto.thumb_key)).all()
        assert {key for keys in used for key in keys} == rows
        counted = session.execute(sa.select(Listing.listing_id, Listing.photo_count)).all()
        for listing_id, count in counted:
            places = session.execute(sa.select(ListingPhoto.position).where(ListingPhoto.listing_id == listing_id))
            assert sorted(places.scalars()) == list(range(count))


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_process_leaves_nothing_apart(
    point: str, committed_databases: Databases, storage: LocalStorage, listing: Any, owner: Client
) -> None:
    add(owner, listing)
    url = committed_databases.write.url.render_as_string(hide_password=False)
    arguments = [url, str(storage.folder.parent), str(listing.listing_id), point]
    root = Path(__file__).resolve().parents[2]
    died = subprocess.run(
        [sys.executable, "-m", "tests.crash", *arguments], cwd=root, capture_output=True, text=True, timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(root)},
    )  # fmt: skip
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
    committed_databases: Databases, storage: LocalStorage, listing: Any, owner: Client,
    limited_files: Callable[[int], Any],
) -> None:  # fmt: skip
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
    assert ready.status_int == 503
    assert ready.json["checks"]["storage"].startswith("The storage of files cannot be used now")
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
            Settings(storage_backend="s3", storage_bucket="photos", storage_endpoint=server.address,
                     storage_access_key=ACCESS_KEY, storage_secret_key=SECRET_KEY)
        )  # fmt: skip
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
        assert owner.get("/readyz").status_int == 503
        assert owner.delete(gone["_links"]["self"]["href"]).status_int == 200
        assert sorted(set(states(committed_databases))) == ["doomed", "pending", "stored"]
        server.start()
        assert swept(committed_databases, storage, LATER).cleared == 6
        assert_together(committed_databases, storage)
        assert owner.get(photo["urls"]["full"]).body == fetched.body
    finally:
        server.stop()


# Many at once.


def at_once(calls: list[Callable[[], Any]]) -> list[Any]:
    """The results, or the DomainErrors, of calls that begin together in threads of their own."""
    begin = threading.Barrier(len(calls))
    results: list[Any] = [None] * len(calls)

    def run(number: int) -> None:
        begin.wait()
        try:
            results[number] = calls[number]()
        except (Conflict, NotFound, Unavailable) as error:
            results[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_ten_uploads_at_once_keep_the_limit(
    committed_databases: Databases, storage: LocalStorage, listing: Any, owner: Client
) -> None:
    for _ in range(20):
        assert add(owner, listing).status_int == 201
    answers = at_once([lambda: add(owner, listing)] * 10)
    assert sorted(answer.status_int for answer in answers) == [201] * 4 + [409] * 6
    assert {answer.json["code"] for answer in answers if answer.status_int == 409} == {"too_many_photos"}
    assert len(owner.get(path_of(listing)).json["photos"]) == 24
    swept(committed_databases, storage, LATER)
    assert_together(committed_databases, storage)


def test_orders_and_removals_at_once(
    committed_databases: Databases, storage: LocalStorage, listing: Any, owner: Client
) -> None:
    ids = [add(owner, listing).json["photo_id"] for _ in range(8)]
    path = path_of(listing)

    def arrange(order: list[int]) -> Any:
        return owner.put(path, {"photos": [{"photo_id": photo_id} for photo_id in order]})

    calls: list[Callable[[], Any]] = [lambda order=order: arrange(order) for order in (ids[::-1], ids[2:] + ids[:2])]
    calls += [
        lambda photo_id=photo_id: owner.delete(f"{path}/{photo_id}") for photo_id in (ids[0], ids[0], ids[3], ids[5])
    ]
    calls += [lambda: add(owner, listing)] * 2
    answers = at_once(calls)
    assert {answer.status_int for answer in answers[:2]} <= {200, 409}
    assert sorted(answer.status_int for answer in answers[2:4]) == [200, 404]
    assert [answer.status_int for answer in answers[4:]] == [200, 200, 201, 201]
    left = {photo["photo_id"] for photo in owner.get(path).json["photos"]}
    assert left >= set(ids) - {ids[0], ids[3], ids[5]}
    assert len(left) == 7
    swept(committed_databases, storage, LATER)
    assert_together(committed_databases, storage)


def test_two_sweeps_and_uploads_at_once(
    committed_databases: Databases, storage: LocalStorage, listing: Any, owner: Client
) -> None:
    gone = [add(owner, listing).headers["Location"] for _ in range(3)]
    for address in gone:
        owner.delete(address)
    sweeps: list[Callable[[], Any]] = [lambda: swept(committed_databases, storage, SOON)] * 2
    results = at_once([*sweeps, lambda: add(owner, listing), lambda: add(owner, listing)])
    assert sum(report.cleared for report in results[:2]) == 9
    assert [answer.status_int for answer in results[2:]] == [201, 201]
    assert all(report.is_clean for report in results[:2])
    assert_together(committed_databases, storage)


def test_an_upload_that_the_sweep_gave_up_saves_nothing(
    committed_databases: Databases, storage: LocalStorage, listing: Any
) -> None:
    """The request hung for hours between its files and its commit, and the sweep came by."""
    key = new_key("photo", "webp", "full")
    with (
        committed_databases.session() as session,
        pytest.raises(Unavailable, match="nothing was saved"),
        store.staged(committed_databases, storage, listing.user_id, {key: b"content"}) as keys,
    ):
        assert swept(committed_databases, storage, LATER).cleared == 1
        store.keep(session, keys)
    assert_together(committed_databases, storage)


def test_a_request_about_to_commit_is_not_swept_away(
    committed_databases: Databases, storage: LocalStorage, listing: Any
) -> None:
    with committed_databases.session() as session:
        row = session.get_one(Listing, listing.listing_id)
        photos.add(session, committed_databases, storage, operator("test"), row, stream=BytesIO(PNG))
        assert swept(committed_databases, storage, LATER).cleared == 0
        session.commit()
    assert_together(committed_databases, storage)


# What no crash explains.


def test_a_lost_object_is_not_shown_until_it_is_back(
    committed_databases: Databases, storage: LocalStorage, listing: Any, owner: Client
) -> None:
    lost, kept = add(owner, listing).json, add(owner, listing).json
    key = lost["urls"]["card"].rpartition("/")[2]
    content = b"".join(storage.read(key) or ())
    storage.delete(key)
    assert swept(committed_databases, storage, SOON).missing == (), "too young to be sure"
    assert swept(committed_databases, storage, LATER).missing == (key,)
    assert swept(committed_databases, storage, LATER).missing == ()
    assert [photo["photo_id"] for photo in owner.get(path_of(listing)).json["photos"]] == [kept["photo_id"]]
    assert owner.get(lost["_links"]["self"]["href"]).status_int == 404
    order = [{"photo_id": kept["photo_id"], "alt_text": "still there"}]
    assert owner.put(path_of(listing), {"photos": order}).status_int == 200
    storage.put(key, BytesIO(content))
    assert swept(committed_databases, storage, LATER).found_again == (key,)
    shown = [photo["photo_id"] for photo in owner.get(path_of(listing)).json["photos"]]
    assert shown == [kept["photo_id"], lost["photo_id"]]
    assert_together(committed_databases, storage)


def test_strays_go_but_not_a_whole_storage(committed_databases: Databases, storage: LocalStorage) -> None:
    def put(count: int) -> set[str]:
        keys = {new_key("photo", "webp", "full") for _ in range(count)}
        for key in keys:
            storage.put(key, BytesIO(b"stray"))
        return keys

    few = put(3)
    assert swept(committed_databases, storage, SOON).strays == ()
    report = swept(committed_databases, storage, LATER)
    assert (set(report.strays), report.strays_deleted) == (few, True)
    assert objects(storage) == set()
    many = put(MOST_STRAYS + 1)
    report = swept(committed_databases, storage, LATER)
    assert (set(report.strays), report.strays_deleted) == (many, False)
    assert objects(storage) == many


# Jobs.


@pytest.fixture
def with_jobs(committed_databases: Databases) -> None:
    committed_databases.on_event = queue.dispatch


def test_files_go_soon_after_their_photo(
    with_jobs: None,
    committed_databases: Databases,
    storage: LocalStorage,
    listing: Any,
    owner: Client,
    settings: Settings,
) -> None:
    settings = replace(settings, data_dir=storage.folder.parent)
    photo = add(owner, listing).json
    owner.delete(photo["_links"]["self"]["href"])
    with committed_databases.session() as session:
        session.execute(sa.text("UPDATE procrastinate_jobs SET scheduled_at = NULL"))
        session.commit()
    run_pending(settings, committed_databases)
    assert objects(storage) == set()
    assert states(committed_databases) == []


def test_an_erased_account_leaves_no_pictures(
    with_jobs: None,
    committed_databases: Databases,
    storage: LocalStorage,
    listing: Any,
    owner: Client,
    settings: Settings,
) -> None:
    settings = replace(settings, data_dir=storage.folder.parent)
    add(owner, listing)
    owner.request("POST", "/api/users/me/picture", {"file": PNG})
    assert len(objects(storage)) == 5
    with committed_databases.session() as session:
        user = session.get_one(User, owner.user.user_id)
        erasure.erase(session, AccountRules.from_settings(settings), user, operator("test"))
        session.commit()
        session.execute(sa.text("UPDATE procrastinate_jobs SET scheduled_at = NULL"))
        session.commit()
    run_pending(settings, committed_databases)
    assert objects(storage) == set()
    assert states(committed_databases) == []


def test_the_hourly_task_reports(committed_databases: Databases, storage: LocalStorage, settings: Settings) -> None:
    from marketplace_api.gateways.email import make_mailer
    from marketplace_api.jobs import schedule
    from marketplace_api.jobs.services import Services

    services = Services(replace(settings, data_dir=storage.folder.parent), make_mailer(settings))
    assert ("37 * * * *", schedule.sweep_files) in schedule.PERIODIC
    storage.put(new_key("photo", "webp"), BytesIO(b"young"))
    with Session(committed_databases.write) as session:
        schedule.sweep_files(session, services)
    assert len(objects(storage)) == 1
