"""Writing: what PUT and PATCH do to fields, and how mistakes are told."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from tests.factories.accounts import People
from tests.factories.listings import make_listing
from tests.support.client import HAL_FORMS, Client
from tests.support.problems import assert_problem, named

MEDIA = ("application/json", "application/hal+json", HAL_FORMS)


@pytest.fixture
def path(db: Session, owner: Client) -> str:
    return f"/api/listings/{make_listing(db, owner.user).listing_id}"


def _count(db: Session, table: str) -> int:
    return int(db.execute(sa.text(f"SELECT count(*) FROM {table}")).scalar_one())


def _unlinked(document: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if not name.startswith("_")}


# PUT and PATCH.


def test_put_leaves_what_it_does_not_name(owner: Client, path: str, db: Session) -> None:
    db.execute(sa.text("UPDATE listings SET date_updated = date_updated - interval '1 hour'"))
    db.commit()
    before = _unlinked(owner.get(path).json)
    answer = owner.put(path, {"title": "Another title"})
    assert answer.status_int == 200
    expected = {**before, "title": "Another title", "date_updated": answer.json["date_updated"]}
    assert _unlinked(answer.json) == expected == _unlinked(owner.get(path).json)
    assert answer.json["date_updated"] > before["date_updated"]


def test_put_of_a_location_replaces_it_as_a_whole(owner: Client, path: str) -> None:
    location = owner.put(path, {"location": {"city": "Hamburg"}}).json["location"]
    assert location == {
        "address": None,
        "city": "Hamburg",
        "state": None,
        "zip": None,
        "country": None,
        "latitude": None,
        "longitude": None,
        "is_approximate": False,
    }


def test_patch_merges_a_location_part_by_part(owner: Client, path: str) -> None:
    before = owner.get(path).json["location"]
    location = owner.patch(path, {"location": {"city": "Potsdam", "address": None}}).json["location"]
    assert location == {**before, "city": "Potsdam", "address": None}


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_location_that_is_null_is_taken_away(owner: Client, path: str, method: str) -> None:
    answer = owner.request(method, path, {"location": None})
    assert answer.status_int == 200
    assert {value for name, value in answer.json["location"].items() if name != "is_approximate"} == {None}


def test_patch_takes_a_merge_patch_and_plain_json(owner: Client, path: str) -> None:
    for media in ("application/merge-patch+json", "application/json", "application/json; charset=utf-8"):
        answer = owner.request("PATCH", path, {"title": media}, headers={"Content-Type": media})
        assert (answer.status_int, answer.json["title"]) == (200, media)


def test_null_is_refused_where_a_field_cannot_be_taken_away(owner: Client, path: str) -> None:
    body = assert_problem(owner.patch(path, {"title": None, "price": None}), 400, "invalid_input")
    assert named(body) == {"title": "not_text", "price": "not_a_number"}


def test_contact_information_is_merged_by_patch_and_replaced_by_put(owner: Client) -> None:
    me = "/api/users/me"
    owner.put(me, {"contact_information": {"phone": "+49 30 1", "address": "Berlin"}})
    assert owner.patch(me, {"contact_information": {"phone": None}}).json["contact_information"] == {
        "address": "Berlin"
    }
    assert owner.patch(me, {"contact_information": {"phone": "2"}}).json["contact_information"] == {
        "address": "Berlin",
        "phone": "2",
    }
    assert owner.put(me, {"contact_information": {"phone": "3"}}).json["contact_information"] == {"phone": "3"}


@pytest.mark.parametrize("media", MEDIA)
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize("page", ["listing", "/api/users/me"])
def test_what_was_read_may_be_sent_back_and_changes_nothing(
    page: str, method: str, media: str, owner: Client, path: str, db: Session
) -> None:
    address = path if page == "listing" else page
    read = owner.get(address, Accept=media)
    events = _count(db, "events")
    sent_as = media if method == "PUT" else "application/merge-patch+json"
    answer = owner.request(method, address, raw=read.body, headers={"Content-Type": sent_as, "Accept": media})
    assert answer.status_int == 200, answer.text
    assert answer.json == read.json
    assert answer.headers["ETag"] == read.headers["ETag"]
    assert _count(db, "events") == events


def test_what_was_read_with_its_owner_inside_may_be_sent_back(owner: Client, path: str) -> None:
    read = owner.get(f"{path}?embed=owner", Accept="application/hal+json")
    assert "owner" in read.json["_embedded"]
    assert owner.put(path, read.json).status_int == 200
    plain = owner.get(f"{path}?embed=owner")
    assert owner.put(path, plain.json).status_int == 200


def test_read_only_fields_are_ignored(owner: Client, path: str, people: People) -> None:
    before = owner.get(path).json
    sent = {
        "listing_id": 1,
        "user_id": people.customer().user.user_id,
        "date_created": "1999-01-01T00:00:00Z",
        "rating_count": 500,
        "rating_average": 5,
        "is_verified_listing": True,
        "status_reason": "none",
        "title": "Real change",
        "distance_km": 0,
    }
    answer = owner.put(path, sent)
    assert answer.status_int == 200
    assert {name: answer.json[name] for name in sent if name in before and name != "title"} == {
        name: before[name] for name in sent if name in before and name != "title"
    }
    mine = owner.get("/api/users/me").json
    answer = owner.put(
        "/api/users/me", {"roles": ["admin"], "is_verified": True, "user_id": 1, "state": "active", "bio": "New"}
    )
    assert answer.status_int == 200
    assert (answer.json["roles"], answer.json["is_verified"], answer.json["user_id"]) == (
        ["customer"],
        False,
        mine["user_id"],
    )


def test_an_unknown_field_is_told_with_what_was_probably_meant(owner: Client, path: str) -> None:
    body = assert_problem(owner.put(path, {"titel": "Lamp", "colour": "red"}), 400, "invalid_input")
    messages = {error["name"]: error["message"] for error in body["errors"]}
    assert "Did you mean title?" in messages["titel"]
    assert "title" in messages["colour"] and "price" in messages["colour"]
    inside = assert_problem(owner.put(path, {"location": {"citty": "Bonn"}}), 400, "invalid_input")
    assert "Did you mean city?" in inside["errors"][0]["message"]
    unknown = assert_problem(owner.get("/api/listings?serach=lamp"), 400, "unknown_parameter")
    assert "Did you mean search?" in unknown["errors"][0]["message"]


def test_all_errors_come_at_once_each_with_its_place(owner: Client) -> None:
    sent = {
        "title": "",
        "description": 5,
        "price": -1,
        "currency": "XXX",
        "location": {"latitude": 100, "city": []},
        "photos_urls": ["nonsense", "https://photos.example/1.jpg", 5],
        "amenities": "lights",
        "status": "sold",
        "colour": "red",
    }
    body = assert_problem(owner.post("/api/listings", sent), 400, "invalid_input")
    assert named(body) == {
        "title": "too_short",
        "description": "not_text",
        "category": "required",
        "price": "out_of_range",
        "currency": "unknown_currency",
        "location.latitude": "out_of_range",
        "location.city": "not_text",
        "photos_urls.0": "too_short",
        "photos_urls.2": "not_text",
        "amenities": "not_a_list",
        "status": "not_a_choice",
        "colour": "unknown_field",
    }
    assert "11 more" in body["detail"]


def test_a_refused_edit_changes_nothing_at_all(owner: Client, path: str, db: Session) -> None:
    before, events = owner.get(path), _count(db, "events")
    for sent in (
        {"title": "New", "price": -1},
        {"title": "New", "category": "nope"},
        {"title": "New", "status": "suspended"},
        {"title": "New", "location": {"latitude": 1, "longitude": None}},
    ):
        assert owner.put(path, sent).status_int in (400, 403, 409)
        assert owner.patch(path, sent).status_int in (400, 403, 409)
    assert owner.get(path).json == before.json
    assert owner.get(path).headers["ETag"] == before.headers["ETag"]
    assert _count(db, "events") == events
