"""Bookmarks over HTTP: keeping, listing, forgetting; what callers are told of them, and at which cost."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.models.catalog.listings import Listing
from tests.factories.accounts import People, make_user
from tests.factories.listings import make_listing
from tests.factories.reviews import make_bookmark
from tests.support.client import HAL_FORMS, Client
from tests.support.sql_recorder import recorded

PATH = "/api/users/me/bookmarks"


def take_down(db: Session, listing: Any, **values: Any) -> None:
    db.execute(sa.update(Listing).where(Listing.listing_id == listing.listing_id).values(values))
    db.commit()


def templates(client: Client, listing: Any) -> dict[str, Any]:
    return dict(client.forms(f"/api/listings/{listing.listing_id}")["_templates"])


def test_from_the_listing_to_the_list_and_back(db: Session, people: People) -> None:
    client, listing = people.customer(), make_listing(db, make_user(db))
    form = templates(client, listing)["bookmark"]
    assert form["properties"][0]["value"] == listing.listing_id
    made = client.post(form["target"], {"listing_id": form["properties"][0]["value"]})
    assert made.status_int == 201
    assert made.headers["Location"] == f"{PATH}/{listing.listing_id}"
    assert {name: made.json[name] for name in ("user_id", "listing_id")} == {
        "user_id": client.user.user_id,
        "listing_id": listing.listing_id,
    }
    again = client.post(PATH, {"listing_id": listing.listing_id})
    assert (again.status_int, again.json["bookmark_id"]) == (200, made.json["bookmark_id"])
    assert "bookmark" not in templates(client, listing)
    found = client.get(PATH).json
    assert [item["bookmark_id"] for item in found["listings"]] == [made.json["bookmark_id"]]
    item = found["listings"][0]
    assert (item["title"], item["is_available"], item["bookmarked"]) == (listing.title, True, True)
    assert item["_links"]["mkt:bookmark"]["href"] == made.headers["Location"]
    assert client.get(made.headers["Location"]).json == item
    removal = templates(client, listing)["remove-bookmark"]
    removed = client.request(removal["method"], removal["target"])
    assert removed.json["message"] == "Bookmark removed"
    assert client.delete(removal["target"]).status_int == 404
    assert client.get(PATH).json["listings"] == []


def test_the_caller_and_the_owner_are_told(db: Session, people: People) -> None:
    owner, keeper, other = people.customer(), people.customer(), people.customer()
    listing = make_listing(db, owner.user)
    make_bookmark(db, keeper.user, listing)
    path = f"/api/listings/{listing.listing_id}"
    told = {
        client: (client.get(path).json.get("bookmarked"), client.get(path).json.get("bookmark_count"))
        for client in (owner, keeper, other, people.moderator(), people.anonymous())
    }
    assert list(told.values()) == [(False, 1), (True, None), (False, None), (False, 1), (None, None)]
    in_list = keeper.get("/api/listings?fields=bookmarked").json["listings"][0]
    assert in_list == {"listing_id": listing.listing_id, "bookmarked": True, "_links": in_list["_links"]}
    assert owner.get("/api/users/me/listings").json["listings"][0]["bookmark_count"] == 1


@pytest.mark.parametrize("values", [{"status": "inactive"}, {"owner_hidden": True}, {"deleted_at": sa.func.now()}])
def test_what_is_taken_down_stays_as_a_stub(values: dict[str, Any], db: Session, people: People) -> None:
    client, listing = people.customer(), make_listing(db, make_user(db))
    make_bookmark(db, client.user, listing)
    take_down(db, listing, **values)
    document = client.forms(PATH)
    stub = document["_embedded"]["listings"][0]
    assert {name for name in stub if not name.startswith("_")} == {
        "listing_id",
        "status",
        "bookmarked",
        "bookmark_id",
        "date_bookmarked",
        "is_available",
    }
    assert (stub["status"], stub["is_available"]) == ("unavailable", False)
    assert listing.title not in client.get(PATH).text
    assert client.get(stub["_links"]["self"]["href"]).status_int == 200
    removal = stub["_templates"]["remove-bookmark"]
    assert client.request(removal["method"], removal["target"]).status_int == 200


def test_the_owner_keeps_seeing_a_listing_taken_down(db: Session, people: People) -> None:
    owner = people.customer()
    listing = make_listing(db, owner.user, status="draft")
    assert owner.post(PATH, {"listing_id": listing.listing_id}).status_int == 201
    item = owner.get(PATH).json["listings"][0]
    assert (item["status"], item["is_available"], item["bookmark_count"]) == ("draft", True, 1)


@pytest.mark.parametrize(("values", "status"), [({"status": "draft"}, 404), ({"deleted_at": sa.func.now()}, 410)])
def test_what_is_not_to_be_had_cannot_be_kept(values: dict[str, Any], status: int, db: Session, people: People) -> None:
    listing = make_listing(db, make_user(db), **values)
    assert people.customer().post(PATH, {"listing_id": listing.listing_id}).status_int == status


def test_who_may(db: Session, people: People) -> None:
    listing, suspended, nobody = make_listing(db, make_user(db)), people.suspended(), people.anonymous()
    body = {"listing_id": listing.listing_id}
    assert [nobody.get(PATH).status_int, nobody.post(PATH, body).status_int] == [401, 401]
    assert [nobody.get(f"{PATH}/1").status_int, nobody.delete(f"{PATH}/1").status_int] == [401, 401]
    assert suspended.get(PATH).status_int == 200
    assert suspended.post(PATH, body).json["code"] == "account_suspended"
    make_bookmark(db, suspended.user, listing)
    assert suspended.delete(f"{PATH}/{listing.listing_id}").status_int == 403
    assert people.admin().get(f"{PATH}/{listing.listing_id}").status_int == 404
    assert people.customer().post(PATH, {"listing_id": "1"}).json["errors"][0]["code"] == "not_an_integer"


def test_a_bookmark_survives_its_request(live_people: People, committed_databases: Any) -> None:
    """No event is recorded with it, so nothing else would make the transaction commit."""
    client = live_people.customer()
    with committed_databases.session() as session:
        listing = make_listing(session, make_user(session))
    assert client.post(PATH, {"listing_id": listing.listing_id}).status_int == 201
    assert client.get(PATH).json["totalItems"] == 1
    assert client.delete(f"{PATH}/{listing.listing_id}").status_int == 200
    assert client.get(PATH).json["totalItems"] == 0


@pytest.mark.parametrize(("media", "extra"), [("application/json", 1), (HAL_FORMS, 2)])
@pytest.mark.parametrize("path", ["/api/listings?limit=50", "/api/users/me/listings?limit=50", f"{PATH}?limit=50"])
def test_a_page_costs_the_same_whatever_is_on_it(
    path: str, media: str, extra: int, db: Session, people: People
) -> None:
    client = people.customer()

    def statements() -> list[str]:
        with recorded() as found:
            assert client.get(path, Accept=media).status_int == 200
        return [text for text in found if not text.startswith(("SAVEPOINT", "RELEASE", "ROLLBACK"))]

    def fill(count: int) -> None:
        for _ in range(count):
            make_bookmark(db, client.user, make_listing(db, client.user))

    fill(1)
    few = statements()
    fill(9)
    many = statements()
    assert len(many) == len(few)
    assert len([text for text in many if "AS wanted" in text or "FROM reviews WHERE" in text]) == extra


def test_strangers_pay_nothing_for_bookmarks(db: Session, people: People) -> None:
    make_listing(db, make_user(db))
    with recorded() as found:
        people.anonymous().get("/api/listings")
    assert [text for text in found if "bookmarks" in text or "reviews" in text] == []
