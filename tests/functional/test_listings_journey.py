"""Listings as people use them: offering, finding, editing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy.orm import Session

from tests.factories.accounts import People
from tests.factories.listings import make_listing
from tests.functional.listings_world import NEW, found, offer
from tests.support.client import Client
from tests.support.problems import assert_problem

FIELDS = {
    "listing_id",
    "user_id",
    "title",
    "description",
    "category",
    "price",
    "currency",
    "location",
    "photos_urls",
    "status",
    "date_created",
    "date_updated",
    "is_verified_listing",
    "amenities",
    "rating_average",
    "rating_count",
}


# From the offer to the sale.


def test_an_offer_is_answered_with_the_listing_and_where_it_is(owner: Client) -> None:
    created = owner.post("/api/listings", NEW)
    assert created.status_int == 201
    listing = created.json
    assert listing.keys() - {"_links", "status_reason", "photos", "bookmarked", "bookmark_count"} == FIELDS
    assert created.headers["Location"] == listing["_links"]["self"]["href"] == f"/api/listings/{listing['listing_id']}"
    assert listing["user_id"] == owner.user.user_id
    assert {name: listing[name] for name in NEW if name not in ("location", "amenities")} == {
        name: value for name, value in NEW.items() if name not in ("location", "amenities")
    }
    assert listing["location"] == {**NEW["location"], "is_approximate": False}  # type: ignore[dict-item]
    assert sorted(listing["amenities"]) == ["Bench", "delivery"]
    assert (listing["status"], listing["is_verified_listing"]) == ("active", False)
    assert (listing["rating_average"], listing["rating_count"]) == (None, 0)
    for name in ("date_created", "date_updated"):
        assert datetime.fromisoformat(listing[name]).utcoffset() == timedelta(0)


def test_the_least_that_can_be_offered(owner: Client) -> None:
    created = owner.post("/api/listings", {"title": "Lamp", "category": "furniture", "price": 0})
    assert created.status_int == 201
    listing = created.json
    assert (listing["description"], listing["currency"], listing["price"], listing["status"]) == (
        "",
        "USD",
        0,
        "active",
    )
    assert (listing["photos_urls"], listing["amenities"], listing["location"]["city"]) == ([], [], None)


def test_only_the_known_may_offer(stranger: Client, people: People) -> None:
    assert_problem(stranger.post("/api/listings", NEW), 401, "unauthenticated")
    assert_problem(people.suspended().post("/api/listings", NEW), 403, "account_suspended")


def test_an_offer_is_found_at_once_by_each_of_its_sides(owner: Client, stranger: Client) -> None:
    offer(owner)
    offer(
        owner,
        title="Cello",
        description="Old.",
        price=900,
        category="bicycles",
        location={"city": "Hamburg"},
        amenities=[],
    )
    piano = (
        "search=piano",
        "search=tuned",
        "search=pian",
        "category=furniture",
        "location=berlin",
        "location=10435",
        "min_price=1000",
        "amenities=bench",
        "amenities=bench,delivery",
        "near=52.54,13.41&radius_km=5",
        "bbox=13.3,52.4,13.5,52.6",
        "min_price=4200.5&max_price=4200.5",
        "search=grand&category=furniture&location=Germany",
    )
    for query in piano:
        assert found(stranger, query) == ["Grand piano"], query
    assert sorted(found(stranger, f"owner={owner.user.user_id}")) == ["Cello", "Grand piano"]
    assert found(stranger, "sortBy=price&order=asc") == ["Cello", "Grand piano"]
    assert found(stranger, "sortBy=title&order=desc") == ["Grand piano", "Cello"]
    for query in (
        "search=violin",
        "max_price=5",
        "verified=true",
        "amenities=bench,pool",
        "near=0,0&radius_km=5",
        "owner=999999",
    ):
        assert found(stranger, query) == [], query


def test_an_edit_is_found_by_its_new_words_only(owner: Client, stranger: Client) -> None:
    path = offer(owner)
    assert owner.put(path, {"title": "Concert harp", "price": 99, "location": {"city": "Bremen"}}).status_int == 200
    assert found(stranger, "search=harp") == found(stranger, "location=bremen") == ["Concert harp"]
    assert (
        found(stranger, "search=piano") == found(stranger, "location=berlin") == found(stranger, "min_price=100") == []
    )


def test_only_the_owner_edits(owner: Client, people: People, db: Session) -> None:
    path = offer(owner)
    before = owner.get(path).json
    for caller, status, code in (
        (people.anonymous(), 401, "unauthenticated"),
        (people.customer(), 403, "forbidden"),
        (people.moderator(), 403, "forbidden"),
        (people.admin(), 403, "forbidden"),
        (people.suspended(), 403, "account_suspended"),
    ):
        assert_problem(caller.put(path, {"title": "Mine"}), status, code)
        assert_problem(caller.patch(path, {"title": "Mine"}), status, code)
        if caller.user is None or caller.user.roles[-1] == "customer":
            assert_problem(caller.delete(path), status, code)
    assert owner.get(path).json == before


def test_my_listings_show_all_states_and_filter_by_them(owner: Client, people: People, db: Session) -> None:
    for status in ("draft", "active", "inactive", "sold", "pending_verification", "rejected", "suspended"):
        make_listing(db, owner.user, status=status)
    make_listing(db, owner.user, deleted_at=datetime.now(UTC))
    mine = owner.get("/api/users/me/listings?limit=100").json
    assert {listing["status"] for listing in mine["listings"]} == {
        "draft",
        "active",
        "inactive",
        "sold",
        "pending_verification",
        "rejected",
        "suspended",
    }
    some = owner.get("/api/users/me/listings?status=draft,sold").json
    assert sorted(listing["status"] for listing in some["listings"]) == ["draft", "sold"]
    assert [x["status"] for x in owner.get("/api/users/me/listings?status=deleted").json["listings"]] == ["deleted"]
    theirs = people.customer().get(f"/api/users/{owner.user.user_id}/listings").json
    assert {listing["status"] for listing in theirs["listings"]} <= {"active", "sold"}
    assert_problem(people.anonymous().get("/api/users/me/listings"), 401, "unauthenticated")
