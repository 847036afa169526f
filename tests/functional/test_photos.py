"""Photos of listings and pictures of people, from the form to the file."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
import sqlalchemy as sa
from PIL import Image
from sqlalchemy.orm import Session

from marketplace_api.hal import affordances
from marketplace_api.models.catalog.listings import Listing
from marketplace_api.models.identity.accounts import User
from marketplace_api.resources.catalog.photos import PhotoContext, PhotosContext
from tests.factories.accounts import People
from tests.factories.files import make_photo
from tests.factories.images import make_image, photo_with_gps
from tests.factories.listings import make_listing
from tests.functional.photos_world import PNG, add, errors, path_of
from tests.functional.test_shown_is_allowed import REFUSED, ROLES, STATES, World, undone
from tests.support.client import Client
from tests.support.samples import fill
from tests.support.sql_recorder import recorded

ME = "/api/users/me"


def test_a_photo_from_the_form_to_the_file(owner: Client, listing: Any, client: Client) -> None:
    form = owner.forms(f"/api/listings/{listing.listing_id}")["_templates"]["add-photo"]
    assert (form["method"], form["target"], form["contentType"]) == ("POST", path_of(listing), "multipart/form-data")
    file, text = form["properties"]
    assert (file["name"], file["type"], file["required"]) == ("file", "file", True)
    assert file["accept"] == "image/jpeg,image/png,image/webp"
    assert (text["name"], text["required"]) == ("alt_text", False)

    made = add(owner, listing, photo_with_gps((2400, 1200), 1), alt_text="  Red and blue ")
    assert made.status_int == 201
    photo = made.json
    assert made.headers["Location"] == photo["_links"]["self"]["href"] == f"{path_of(listing)}/{photo['photo_id']}"
    assert (photo["alt_text"], photo["width"], photo["height"]) == ("Red and blue", 1600, 800)
    assert owner.get(made.headers["Location"]).json["urls"] == photo["urls"]

    shown = client.get(f"/api/listings/{listing.listing_id}")
    assert shown.json["photos"] == [photo]
    assert shown.json["_links"]["mkt:photos"]["href"] == path_of(listing)
    assert client.get(path_of(listing)).json["photos"] == [photo]
    for size, pixels in (("thumb", 160), ("card", 480), ("full", 1600)):
        fetched = client.get(photo["urls"][size], Accept="image/webp")
        assert fetched.status_int == 200
        assert fetched.content_type == "image/webp"
        assert fetched.headers["Cache-Control"] == "public, max-age=31536000, s-maxage=300, immutable"
        assert "Vary" not in fetched.headers
        assert b"SecretCam" not in fetched.body
        image = Image.open(BytesIO(fetched.body))
        assert image.size == (pixels, pixels // 2)
        assert not dict(image.getexif())


def test_lists_show_photos_to_who_asks(owner: Client, listing: Any, db: Session, client: Client) -> None:
    photo = add(owner, listing).json
    make_listing(db, owner.user)
    assert "photos" not in client.get("/api/listings").json["listings"][0]
    for query in ("embed=photos", "fields=title,photos"):
        found = {item["listing_id"]: item["photos"] for item in client.get(f"/api/listings?{query}").json["listings"]}
        assert sorted(found.values(), key=len) == [[], [photo]]
    embedded = client.get("/api/listings?embed=photos", Accept="application/hal+json").json["_embedded"]["listings"]
    assert {len(item["_embedded"]["photos"]) for item in embedded} == {0, 1}
    assert "photos" not in client.get(f"/api/listings/{listing.listing_id}?fields=title").json


def test_photos_cost_one_query_however_many_listings(owner: Client, db: Session, client: Client) -> None:
    counts = []
    for _ in range(3):
        add(owner, make_listing(db, owner.user))
        with recorded() as statements:
            assert client.get("/api/listings?embed=photos").status_int == 200
        counts.append(sum("FROM listing_photos" in statement for statement in statements))
    assert counts == [1, 1, 1]


def test_no_query_for_photos_that_are_not_there(listing: Any, client: Client) -> None:
    with recorded() as statements:
        assert client.get(f"/api/listings/{listing.listing_id}").json["photos"] == []
    assert not any("listing_photos" in statement for statement in statements)


def test_order_and_descriptions(owner: Client, listing: Any, client: Client) -> None:
    first, second, third = (add(owner, listing, alt_text=text).json["photo_id"] for text in ("one", "two", "three"))
    form = owner.forms(path_of(listing))["_templates"]["arrange-photos"]
    (field,) = form["properties"]
    assert [entry["alt_text"] for entry in field["value"]] == ["one", "two", "three"]
    order = [{"photo_id": third}, {"photo_id": first, "alt_text": "ONE"}, {"photo_id": second, "alt_text": ""}]
    arranged = owner.put(path_of(listing), {"photos": order})
    assert arranged.status_int == 200, arranged.text
    assert [(p["photo_id"], p["alt_text"]) for p in arranged.json["photos"]] == [
        (third, "three"),
        (first, "ONE"),
        (second, ""),
    ]
    read = client.get(path_of(listing))
    assert read.json["photos"] == arranged.json["photos"]
    # What was read may be sent back, and says nothing new.
    same = owner.put(path_of(listing), read.json)
    assert same.status_int == 200, same.text
    assert same.headers["ETag"].partition(".")[0] == arranged.headers["ETag"].partition(".")[0]


def test_an_order_names_each_photo_once(owner: Client, listing: Any) -> None:
    one, two = (add(owner, listing).json["photo_id"] for _ in range(2))

    def put(*ids: Any) -> Any:
        return owner.put(path_of(listing), {"photos": [{"photo_id": photo_id} for photo_id in ids]})

    assert errors(put(one, one, two)) == [("photos", "repeated")]
    for ids in ((one,), (), (one, two, 99)):
        answer = put(*ids)
        assert (answer.status_int, answer.json["code"], answer.json["photos"]) == (409, "conflict", [one, two])
    assert errors(put("1")) == [("photos.0.photo_id", "not_an_integer")]
    assert errors(owner.put(path_of(listing), {"photos": [None]})) == [("photos.0", "not_an_object")]
    assert errors(owner.put(path_of(listing), {"photos": [{"photo_id": one, "nonsense": 1}]})) == [
        ("photos.0.nonsense", "unknown_field")
    ]
    assert put(two, one).status_int == 200


def test_a_photo_goes_with_its_files(owner: Client, listing: Any, client: Client, run_sweep: Any) -> None:
    kept, gone, last = (add(owner, listing).json for _ in range(3))
    answer = owner.delete(gone["_links"]["self"]["href"])
    assert answer.json["message"] == "Photo removed"
    assert [p["photo_id"] for p in client.get(path_of(listing)).json["photos"]] == [kept["photo_id"], last["photo_id"]]
    assert owner.delete(gone["_links"]["self"]["href"]).status_int == 404
    assert run_sweep().cleared == 3
    assert {client.get(url).status_int for url in gone["urls"].values()} == {404}
    assert {client.get(url).status_int for url in kept["urls"].values()} == {200}
    again = add(owner, listing).json
    assert [p["photo_id"] for p in client.get(path_of(listing)).json["photos"]][-1] == again["photo_id"]


def test_photos_of_a_verified_listing_are_looked_at_again(owner: Client, db: Session) -> None:
    for change in ("add", "arrange", "remove"):
        row = make_listing(db, owner.user)
        ids = [add(owner, row).json["photo_id"] for _ in range(2)]
        path = f"/api/listings/{row.listing_id}"
        db.execute(_verified(row.listing_id))
        db.commit()
        before = owner.get(path)
        assert before.json["is_verified_listing"]
        if change == "add":
            add(owner, row)
        elif change == "arrange":
            owner.put(f"{path}/photos", {"photos": [{"photo_id": i} for i in reversed(ids)]})
        else:
            owner.delete(f"{path}/photos/{ids[0]}")
        after = owner.get(path)
        assert not after.json["is_verified_listing"]
        assert int(after.headers["ETag"][1:].partition(".")[0]) == int(before.headers["ETag"][1:].partition(".")[0]) + 1


def _verified(listing_id: int) -> Any:
    return sa.update(Listing).where(Listing.listing_id == listing_id).values(is_verified_listing=True)


def test_if_match_protects_photos(owner: Client, listing: Any) -> None:
    photo = add(owner, listing)
    stale = {"If-Match": '"1.x"'}
    body = {"photos": [{"photo_id": photo.json["photo_id"], "alt_text": "new"}]}
    for method, path, sent in (
        ("POST", path_of(listing), {"file": PNG}),
        ("PUT", path_of(listing), body),
        ("DELETE", photo.headers["Location"], None),
    ):
        answer = owner.request(method, path, sent, headers=stale)
        assert (answer.status_int, answer.json["code"]) == (412, "precondition_failed")
        assert [p["alt_text"] for p in answer.json["current"]["photos"]] == [""]
    fresh = {"If-Match": owner.get(path_of(listing)).headers["ETag"]}
    assert owner.request("PUT", path_of(listing), body, headers=fresh).status_int == 200


def test_no_more_than_24(owner: Client, listing: Any) -> None:
    for _ in range(24):
        last = add(owner, listing)
        assert last.status_int == 201
    answer = add(owner, listing)
    assert (answer.status_int, answer.json["code"]) == (409, "too_many_photos")
    assert "add-photo" not in owner.forms(path_of(listing))["_templates"]
    assert owner.delete(last.headers["Location"]).status_int == 200
    assert "add-photo" in owner.forms(path_of(listing))["_templates"]
    assert add(owner, listing).status_int == 201


def test_a_retry_adds_no_second_photo(owner: Client, listing: Any) -> None:
    """The same file under the same key, in a form with another boundary."""
    sent = {"Idempotency-Key": "one-photo"}
    first = owner.request("POST", path_of(listing), {"file": PNG, "alt_text": "a"}, headers=sent)
    again = owner.request("POST", path_of(listing), {"file": PNG, "alt_text": "a"}, headers=sent)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (again.status_int, again.json) == (201, first.json)
    for other in ({"file": PNG, "alt_text": "b"}, {"file": make_image("WEBP"), "alt_text": "a"}):
        assert owner.request("POST", path_of(listing), other, headers=sent).status_int == 422
    assert len(owner.get(path_of(listing)).json["photos"]) == 1


# The files themselves.


@pytest.fixture
def url(owner: Client, listing: Any) -> str:
    address: str = add(owner, listing, make_image("PNG", (400, 300), noise=True)).json["urls"]["full"]
    return address


# Pictures of people.


def test_a_picture_of_oneself(owner: Client, client: Client, run_sweep: Any, db: Session) -> None:
    form = owner.forms(ME)["_templates"]["set-picture"]
    assert (form["target"], form["contentType"]) == (f"{ME}/picture", "multipart/form-data")
    first = owner.request("POST", f"{ME}/picture", {"file": photo_with_gps((900, 600), 1)})
    assert first.status_int == 200, first.text
    url = first.json["profile_picture_url"]
    public = client.get(f"/api/users/{owner.user.user_id}").json
    assert public["profile_picture_url"] == url
    assert url.startswith("http://127.0.0.1:6543/files/picture-")
    path = url.removeprefix("http://127.0.0.1:6543")
    assert Image.open(BytesIO(client.get(path).body)).size == (480, 480)

    # What is stored knows nothing of the address, which may become another one.
    stored = sa.select(User.profile_picture_url).where(User.user_id == owner.user.user_id)
    assert db.execute(stored).scalar_one() == path
    registry = client.app.registry
    here, registry.pictures_url = registry.pictures_url, "https://cdn.example"
    assert client.get(f"/api/users/{owner.user.user_id}").json["profile_picture_url"] == f"https://cdn.example{path}"
    registry.pictures_url = here

    # The account as it was read may be sent back.
    assert owner.put(ME, owner.get(ME).json).status_int == 200
    assert run_sweep().cleared == 0
    second = owner.request("POST", f"{ME}/picture", {"file": PNG}).json["profile_picture_url"]
    assert second != url
    assert run_sweep().cleared == 2
    assert client.get(path).status_int == 404

    gone = owner.delete(f"{ME}/picture")
    assert (gone.status_int, gone.json["profile_picture_url"]) == (200, None)
    assert owner.delete(f"{ME}/picture").status_int == 200
    assert run_sweep().cleared == 2


@pytest.mark.parametrize("address", [None, "https://pictures.example/me.png"])
def test_another_address_lets_the_picture_go(address: str | None, owner: Client, run_sweep: Any) -> None:
    owner.request("POST", f"{ME}/picture", {"file": PNG})
    assert owner.put(ME, {"profile_picture_url": address}).json["profile_picture_url"] == address
    assert run_sweep().cleared == 2


def test_a_picture_keeps_the_rules_of_the_account(owner: Client, people: People) -> None:
    stale = {"If-Match": '"99.x"'}
    assert owner.request("POST", f"{ME}/picture", {"file": PNG}, headers=stale).status_int == 412
    assert owner.request("DELETE", f"{ME}/picture", headers=stale).status_int == 412
    answer = owner.request("POST", f"{ME}/picture", {"file": b"text"})
    assert errors(answer) == [("file", "wrong_content")]
    assert people.suspended().request("POST", f"{ME}/picture", {"file": PNG}).status_int == 403
    assert people.anonymous().request("POST", f"{ME}/picture", {"file": PNG}).status_int == 401


def test_photos_are_among_what_is_held_about_a_person(owner: Client, listing: Any) -> None:
    made = add(owner, listing, alt_text="mine").json
    (photo,) = owner.get(f"{ME}/export").json["photos"]
    assert (photo["photo_id"], photo["alt_text"]) == (made["photo_id"], "mine")
    assert made["urls"]["full"].endswith(photo["full_key"])


# Shown is allowed.


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("role", ROLES)
def test_photos_offer_what_they_allow_and_refuse_the_rest(
    role: str, state: str, databases: Any, db: Session, people: People
) -> None:
    client, row = World(db, people, state).caller(role)
    photo_id = make_photo(db, row).photo_id
    listing = f"/api/listings/{row.listing_id}"
    pages = {PhotosContext: f"{listing}/photos", PhotoContext: f"{listing}/photos/{photo_id}"}
    for operation in affordances.ALL:
        if operation.context not in pages or operation.is_safe:
            continue
        path = pages[operation.context]
        response = client.get(path, Accept="application/prs.hal-forms+json")
        assert response.status_int == (200 if client.get(listing).status_int == 200 else response.status_int)
        shown = response.json.get("_templates", {}) if response.status_int == 200 else {}
        template = shown.get(operation.name)
        body = (
            fill(template) if template else {"file": PNG} if operation.upload else {"photos": [{"photo_id": photo_id}]}
        )
        with undone(databases):
            answer = client.request(operation.method, path, body if operation.body is not None else None)
        if template is not None:
            assert answer.status_int < 300, f"{role} {state} shown {operation.name}: {answer.status_int} {answer.text}"
        else:
            assert answer.status_int in REFUSED, f"{role} {state} not shown {operation.name}: {answer.text}"
