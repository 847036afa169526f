"""The video of a listing, from the form to the part that a browser fetches, and what must not go wrong on the way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from typing import Any

import av
import pytest
import sqlalchemy as sa
from PIL import Image
from sqlalchemy.orm import Session

from marketplace_api.config.settings import Settings
from marketplace_api.database.engines import Databases
from marketplace_api.domain.identity.accounts.config import AccountRules
from marketplace_api.domain.kernel.actors import operator
from marketplace_api.domain.privacy import erasure
from marketplace_api.gateways import video
from marketplace_api.gateways.storage import LocalStorage
from marketplace_api.hal import affordances
from marketplace_api.jobs import dispatch
from marketplace_api.jobs.worker import run_pending
from marketplace_api.models.catalog.listings import Listing
from marketplace_api.models.identity.accounts import User
from marketplace_api.models.media.files import File
from marketplace_api.resources.catalog.videos import VideoContext
from tests.factories.accounts import People
from tests.factories.files import give_video
from tests.factories.images import make_image
from tests.factories.listings import make_listing
from tests.factories.videos import make_video
from tests.functional.test_shown_is_allowed import REFUSED, ROLES, STATES, World, undone
from tests.support.client import Client, Named
from tests.support.samples import VIDEO, fill
from tests.support.sql_recorder import recorded


def path_of(row: Any) -> str:
    return f"/api/listings/{row.listing_id}/video"


def send(client: Client, row: Any, file: Any = VIDEO) -> Any:
    return client.request("POST", path_of(row), {"file": file})


def test_a_video_from_the_form_to_the_file(owner: Client, listing: Any, client: Client) -> None:
    page = f"/api/listings/{listing.listing_id}"
    assert "mkt:video" not in client.get(page).json["_links"]
    assert client.get(path_of(listing)).status_int == 404
    form = owner.forms(page)["_templates"]["set-video"]
    assert (form["method"], form["target"], form["contentType"]) == ("POST", path_of(listing), "multipart/form-data")
    (file,) = form["properties"]
    assert (file["name"], file["accept"]) == ("file", "video/mp4,video/webm")

    made = send(owner, listing, make_video(seconds=3, metadata={"location": "+52.5+13.4/"}))
    assert made.status_int == 201
    assert made.headers["Location"] == path_of(listing)
    told = {name: made.json[name] for name in ("listing_id", "width", "height", "content_type")}
    assert told == {"listing_id": listing.listing_id, "width": 160, "height": 90, "content_type": "video/mp4"}
    assert made.json["duration_seconds"] == pytest.approx(3, abs=0.2)

    assert client.get(page).json["_links"]["mkt:video"]["href"] == path_of(listing)
    shown = client.get(path_of(listing)).json
    assert shown == made.json
    fetched = client.get(shown["url"])
    assert (fetched.status_int, fetched.content_type) == (200, "video/mp4")
    assert "immutable" in fetched.headers["Cache-Control"]
    assert b"+52.5" not in fetched.body
    with av.open(BytesIO(fetched.body)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 30
    part = client.get(shown["url"], Range="bytes=0-99")
    assert (part.status_int, part.body) == (206, fetched.body[:100])
    poster = client.get(shown["poster_url"])
    assert poster.content_type == "image/webp"
    assert Image.open(BytesIO(poster.body)).size == (160, 90)


def test_another_video_takes_its_place(owner: Client, listing: Any, client: Client, run_sweep: Any) -> None:
    first = send(owner, listing).json
    second = send(owner, listing, make_video("webm", "libvpx-vp9", seconds=1)).json
    assert second["content_type"] == "video/webm"
    assert client.get(path_of(listing)).json["url"] == second["url"]
    assert run_sweep().cleared == 2
    assert [client.get(first[name]).status_int for name in ("url", "poster_url")] == [404, 404]
    assert [client.get(second[name]).status_int for name in ("url", "poster_url")] == [200, 200]


def test_a_video_goes_with_its_files(owner: Client, listing: Any, client: Client, run_sweep: Any) -> None:
    made = send(owner, listing).json
    form = owner.forms(f"/api/listings/{listing.listing_id}")["_templates"]["remove-video"]
    assert (form["method"], form["target"]) == ("DELETE", path_of(listing))
    assert owner.delete(path_of(listing)).json["message"] == "Video removed"
    assert "mkt:video" not in client.get(f"/api/listings/{listing.listing_id}").json["_links"]
    assert owner.delete(path_of(listing)).status_int == 404
    assert run_sweep().cleared == 2
    assert client.get(made["url"]).status_int == 404


def test_the_video_of_a_verified_listing_is_looked_at_again(owner: Client, listing: Any, db: Session) -> None:
    verified = sa.update(Listing).where(Listing.listing_id == listing.listing_id).values(is_verified_listing=True)
    for change in (lambda: send(owner, listing), lambda: owner.delete(path_of(listing))):
        db.execute(verified)
        db.commit()
        change()
        assert not owner.get(f"/api/listings/{listing.listing_id}").json["is_verified_listing"]


def test_if_match_protects_the_video(owner: Client, listing: Any) -> None:
    etag = owner.get(f"/api/listings/{listing.listing_id}").headers["ETag"]
    assert send(owner, listing).status_int == 201
    stale = {"If-Match": etag}
    assert owner.request("POST", path_of(listing), {"file": VIDEO}, headers=stale).status_int == 412
    assert owner.request("DELETE", path_of(listing), headers=stale).status_int == 412
    owner.delete(path_of(listing))
    none_yet = owner.request("POST", path_of(listing), {"file": VIDEO}, headers=stale)
    assert none_yet.status_int == 412
    assert none_yet.json["current"]["listing_id"] == listing.listing_id


def test_listings_without_a_video_cost_no_query_for_it(listing: Any, client: Client) -> None:
    with recorded() as statements:
        client.get(f"/api/listings/{listing.listing_id}")
    assert not [text for text in statements if "listing_videos" in text]


@pytest.mark.parametrize(
    ("file", "code"),
    [
        (b"", "empty_file"),
        (b"no video at all", "broken_file"),
        (make_image("PNG"), "broken_file"),
        (Named("clip.mp4", "video/mp4", b"<html><script>1</script>"), "broken_file"),
        (VIDEO[:300], "broken_file"),
        (Named("../../x\0.mp4", "video/mp4", make_video("avi", seconds=1)), "broken_file"),
    ],
)
def test_what_is_no_video_is_refused(file: Any, code: str, owner: Client, listing: Any, run_sweep: Any) -> None:
    answer = send(owner, listing, file)
    assert (answer.status_int, answer.json["code"]) == (400, "invalid_file")
    assert [(error["name"], error["code"]) for error in answer.json["errors"]] == [("file", code)]
    assert owner.get(path_of(listing)).status_int == 404
    assert run_sweep().is_clean


def test_limits_are_settings(owner: Client, listing: Any, settings: Settings, app: Any) -> None:
    registry = app.registry
    for limits, status, code in (
        ({"video_limit": 1000}, 413, "body_too_large"),
        ({"video_seconds": 1}, 400, "invalid_file"),
    ):
        registry.app_settings = replace(settings, **limits)
        try:
            answer = send(owner, listing, make_video(seconds=3))
        finally:
            registry.app_settings = settings
        assert (answer.status_int, answer.json["code"]) == (status, code)


def test_without_the_extra_nothing_is_promised(owner: Client, listing: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "find_spec", lambda _name: None)
    assert "set-video" not in owner.forms(f"/api/listings/{listing.listing_id}")["_templates"]
    answer = send(owner, listing)
    assert (answer.status_int, answer.json["code"]) == (501, "not_supported")


def test_the_video_is_among_what_is_held_about_a_person(owner: Client, listing: Any) -> None:
    made = send(owner, listing).json
    (held,) = owner.get("/api/users/me/export").json["videos"]
    assert held["listing_id"] == listing.listing_id
    assert made["url"].endswith(held["video_key"])


@pytest.mark.parametrize("has_video", [False, True])
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("role", ROLES)
def test_the_video_offers_what_it_allows_and_refuses_the_rest(
    role: str, state: str, has_video: bool, databases: Any, db: Session, people: People
) -> None:
    client, row = World(db, people, state).caller(role)
    if has_video:
        give_video(db, row)
    page = f"/api/listings/{row.listing_id}"
    response = client.get(page, Accept="application/prs.hal-forms+json")
    shown = response.json.get("_templates", {}) if response.status_int == 200 else {}
    if response.status_int == 200:
        assert client.get(path_of(row)).status_int == (200 if has_video else 404)
    for operation in affordances.ALL:
        if operation.context is not VideoContext or operation.is_safe:
            continue
        template = shown.get(operation.name)
        body = fill(template) if template else {"file": VIDEO} if operation.upload else None
        with undone(databases):
            answer = client.request(operation.method, path_of(row), body)
        if template is not None:
            assert answer.status_int < 300, f"{role} {state} shown {operation.name}: {answer.status_int} {answer.text}"
        else:
            assert answer.status_int in REFUSED, f"{role} {state} not shown {operation.name}: {answer.text}"


# On a database that commits.


@pytest.fixture
def storage(live_storage: LocalStorage) -> LocalStorage:
    return live_storage


@pytest.fixture
def seller(live_people: People, storage: LocalStorage) -> Client:
    return live_people.customer()


def stored(databases: Databases) -> list[str]:
    with databases.session() as session:
        return list(session.execute(sa.select(File.key).where(File.state == "stored")).scalars())


def test_ten_videos_at_once_leave_one(
    committed_databases: Databases, storage: LocalStorage, seller: Client, live_people: People
) -> None:
    """One is decoded at a time; the others are told to come back, and do."""
    row = make_listing(live_people.session, seller.user)
    answers: list[int] = []

    def insist() -> None:
        answer = send(seller, row)
        while answer.status_int == 503:
            assert answer.headers["Retry-After"] == "2"
            time.sleep(0.2)
            answer = send(seller, row)
        answers.append(answer.status_int)

    threads = [threading.Thread(target=insist) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert answers == [201] * 10
    assert len(stored(committed_databases)) == 2
    shown = seller.get(path_of(row)).json
    assert {shown[name].rpartition("/")[2] for name in ("url", "poster_url")} == set(stored(committed_databases))


def test_a_full_disk_saves_nothing(
    committed_databases: Databases, seller: Client, live_people: People, limited_files: Callable[[int], Any]
) -> None:
    row = make_listing(live_people.session, seller.user)
    with limited_files(30):
        answer = send(seller, row)
    assert (answer.status_int, answer.json["code"]) == (503, "unavailable")
    assert stored(committed_databases) == []
    assert send(seller, row).status_int == 201


def test_an_erased_account_leaves_no_video(
    committed_databases: Databases, storage: LocalStorage, seller: Client, live_people: People, settings: Settings
) -> None:
    committed_databases.on_event = dispatch.dispatch
    settings = replace(settings, data_dir=storage.folder.parent)
    send(seller, make_listing(live_people.session, seller.user))
    with committed_databases.session() as session:
        user = session.get_one(User, seller.user.user_id)
        erasure.erase_account(session, AccountRules.from_settings(settings), user, operator("test"))
        session.commit()
        session.execute(sa.text("UPDATE procrastinate_jobs SET scheduled_at = NULL"))
        session.commit()
    run_pending(settings, committed_databases)
    assert list(storage.walk("video-")) == []
    assert stored(committed_databases) == []
