"""The life of a listing: offered, found, edited, verified, sold, deleted, restored; and what strangers never learn."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.domain.search import compact_terms
from marketplace_api.models.events import Event
from tests.client import HAL_FORMS, Client
from tests.factories.accounts import PASSWORD, People
from tests.factories.listings import make_listing
from tests.problems import assert_problem, named

NEW = {
    "title": "Grand piano", "description": "Black, tuned last spring.", "category": "furniture", "price": 4200.5,
    "currency": "EUR", "amenities": ["Bench", "delivery"], "photos_urls": ["https://photos.example/piano.jpg"],
    "location": {
        "address": "Kastanienallee 7", "city": "Berlin", "state": "BE", "zip": "10435", "country": "Germany",
        "latitude": 52.538123, "longitude": 13.410456,
    },
}  # fmt: skip
FIELDS = {
    "listing_id", "user_id", "title", "description", "category", "price", "currency", "location", "photos_urls",
    "status",
    "date_created", "date_updated", "is_verified_listing", "amenities", "rating_average", "rating_count",
}  # fmt: skip
PUBLIC_LOCATION = {"city", "state", "zip", "country", "latitude", "longitude", "is_approximate"}


@pytest.fixture
def owner(people: People) -> Client:
    return people.customer()


@pytest.fixture
def stranger(people: People) -> Client:
    return people.anonymous()


@pytest.fixture
def moderator(people: People) -> Client:
    return people.moderator()


def _offer(owner: Client, **changes: Any) -> str:
    created = owner.post("/api/listings", {**NEW, **changes})
    assert created.status_int == 201, created.text
    return str(created.headers["Location"])


def _found(client: Client, query: str = "") -> list[str]:
    response = client.get(f"/api/listings?{query}")
    assert response.status_int == 200, response.text
    assert response.json["totalItems"] == len(response.json["listings"])
    return [listing["title"] for listing in response.json["listings"]]


def _events(db: Session, *types: str) -> list[Event]:
    return list(db.scalars(sa.select(Event).where(Event.type.in_(types)).order_by(Event.event_id)))


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
    _offer(owner)
    _offer(
        owner,
        title="Cello",
        description="Old.",
        price=900,
        category="bicycles",
        location={"city": "Hamburg"},
        amenities=[],
    )
    piano = (
        "search=piano", "search=tuned", "search=pian", "category=furniture", "location=berlin", "location=10435",
        "min_price=1000",
        "amenities=bench", "amenities=bench,delivery", "near=52.54,13.41&radius_km=5", "bbox=13.3,52.4,13.5,52.6",
        "min_price=4200.5&max_price=4200.5", "search=grand&category=furniture&location=Germany",
    )  # fmt: skip
    for query in piano:
        assert _found(stranger, query) == ["Grand piano"], query
    assert sorted(_found(stranger, f"owner={owner.user.user_id}")) == ["Cello", "Grand piano"]
    assert _found(stranger, "sortBy=price&order=asc") == ["Cello", "Grand piano"]
    assert _found(stranger, "sortBy=title&order=desc") == ["Grand piano", "Cello"]
    for query in (
        "search=violin",
        "max_price=5",
        "verified=true",
        "amenities=bench,pool",
        "near=0,0&radius_km=5",
        "owner=999999",
    ):
        assert _found(stranger, query) == [], query


def test_an_edit_is_found_by_its_new_words_only(owner: Client, stranger: Client) -> None:
    path = _offer(owner)
    assert owner.put(path, {"title": "Concert harp", "price": 99, "location": {"city": "Bremen"}}).status_int == 200
    assert _found(stranger, "search=harp") == _found(stranger, "location=bremen") == ["Concert harp"]
    assert (
        _found(stranger, "search=piano")
        == _found(stranger, "location=berlin")
        == _found(stranger, "min_price=100")
        == []
    )


def test_only_the_owner_edits(owner: Client, people: People, db: Session) -> None:
    path = _offer(owner)
    before = owner.get(path).json
    for caller, status, code in (
        (people.anonymous(), 401, "unauthenticated"), (people.customer(), 403, "forbidden"),
        (people.moderator(), 403, "forbidden"), (people.admin(), 403, "forbidden"),
        (people.suspended(), 403, "account_suspended"),
    ):  # fmt: skip
        assert_problem(caller.put(path, {"title": "Mine"}), status, code)
        assert_problem(caller.patch(path, {"title": "Mine"}), status, code)
        if caller.user is None or caller.user.roles[-1] == "customer":
            assert_problem(caller.delete(path), status, code)
    assert owner.get(path).json == before


# The badge.


def _verified(owner: Client, moderator: Client) -> str:
    path = _offer(owner)
    assert owner.post(f"{path}/submit-for-verification", {}).json["status"] == "pending_verification"
    assert moderator.post(f"{path}/verify", {}).status_int == 200
    listing = owner.get(path).json
    assert (listing["status"], listing["is_verified_listing"]) == ("active", True)
    return path


@pytest.mark.parametrize(
    ("change", "keeps"),
    [
        ({"title": "Another piano"}, False),
        ({"description": "Broken."}, False),
        ({"photos_urls": ["https://photos.example/other.jpg"]}, False),
        ({"currency": "USD"}, False),
        ({"price": 4200.5 * 1.51}, False),
        ({"price": 2100}, False),
        ({"price": 6300.75}, True),
        ({"price": 2100.25}, True),
        ({"amenities": ["tuner"]}, True),
        ({"location": {"city": "Bonn"}}, True),
        ({"title": "Grand piano"}, True),
    ],
)
def test_an_edit_of_what_was_verified_takes_the_badge_to_review(
    change: dict[str, Any], keeps: bool, owner: Client, moderator: Client, stranger: Client
) -> None:
    path = _verified(owner, moderator)
    if "price" in change:
        change["price"] = round(change["price"], 2)
    listing = owner.put(path, change).json
    assert (listing["status"], listing["is_verified_listing"]) == ("active", keeps)
    assert len(_found(stranger, "verified=true")) == keeps
    offered = moderator.forms(path)["_templates"]
    assert ("verify" in offered) == (not keeps)
    if not keeps:
        assert moderator.post(f"{path}/verify", {}).json["is_verified_listing"] is True


def test_a_refusal_of_the_badge_is_read_with_its_reason_by_the_owner_alone(
    owner: Client, moderator: Client, stranger: Client
) -> None:
    path = _offer(owner)
    owner.post(f"{path}/submit-for-verification", {})
    assert named(assert_problem(moderator.post(f"{path}/reject", {}), 400, "invalid_input")) == {"reason": "required"}
    assert moderator.post(f"{path}/reject", {"reason": "The photos show another piano."}).status_int == 200
    assert owner.get(path).json["status_reason"] == "The photos show another piano."
    assert_problem(stranger.get(path), 404, "not_found")
    published = owner.post(f"{path}/publish", {})
    assert (published.json["status"], published.json["status_reason"]) == ("active", None)
    assert "status_reason" not in stranger.get(path).json


def test_nobody_decides_on_their_own_listing(people: People, db: Session) -> None:
    for roles in (["moderator"], ["admin"]):
        judge = people.caller(roles=roles)
        row = make_listing(db, judge.user, status="pending_verification")
        for step, body in (
            ("verify", {}),
            ("reject", {"reason": "It is mine."}),
            ("suspend", {"reason": "It is mine."}),
        ):
            assert_problem(judge.post(f"/api/listings/{row.listing_id}/{step}", body), 403, "forbidden")


# Steps and status.


def test_the_steps_of_the_owner_lead_from_draft_to_sold_and_back(owner: Client, stranger: Client) -> None:
    path = _offer(owner, status="draft")
    assert _found(stranger) == []
    for step, status, is_found in (
        ("publish", "active", True), ("deactivate", "inactive", False), ("publish", "active", True),
        ("mark-sold", "sold", False),
        ("publish", "active", True),
    ):  # fmt: skip
        assert step in owner.forms(path)["_templates"]
        assert owner.post(f"{path}/{step}", {}).json["status"] == status
        assert (_found(stranger) == ["Grand piano"]) == is_found
    refused = owner.post(f"{path}/publish", {})
    body = assert_problem(refused, 409, "wrong_state")
    assert (body["state"], body["_links"]["related"]["href"]) == ("active", path)


def test_a_sold_listing_is_open_to_all_but_not_found(owner: Client, stranger: Client) -> None:
    path = _offer(owner)
    owner.post(f"{path}/mark-sold", {})
    assert stranger.get(path).json["status"] == "sold"
    assert _found(stranger, "search=piano") == []


def test_a_status_that_is_put_goes_through_the_workflow(owner: Client, db: Session) -> None:
    path = _offer(owner)
    answer = owner.put(path, {"status": "sold", "title": "Sold piano"})
    assert (answer.status_int, answer.json["status"], answer.json["title"]) == (200, "sold", "Sold piano")
    steps = [event.new["step"] for event in _events(db, "listing.status_changed")]
    assert steps == ["mark-sold"]
    assert owner.patch(path, {"status": "active"}).json["status"] == "active"
    assert owner.put(path, {"status": "active"}).status_int == 200
    assert len(_events(db, "listing.status_changed")) == 2


def test_a_status_that_no_step_leads_to_is_a_conflict_and_nothing_of_the_edit_stays(owner: Client) -> None:
    path = _offer(owner)
    before = owner.get(path).json
    body = assert_problem(owner.put(path, {"status": "draft", "title": "Half"}), 409, "wrong_state")
    assert (body["state"], body["_links"]["related"]["href"]) == ("active", path)
    assert_problem(owner.put(path, {"status": "suspended", "title": "Half"}), 403, "forbidden")
    owner.post(f"{path}/submit-for-verification", {})
    assert_problem(owner.put(path, {"status": "active"}), 403, "forbidden")
    owner.post(f"{path}/deactivate", {})
    owner.post(f"{path}/publish", {})
    assert {**owner.get(path).json, "date_updated": None} == {**before, "date_updated": None}


def test_a_suspended_listing_stands_still_until_it_is_reinstated(
    owner: Client, moderator: Client, stranger: Client
) -> None:
    path = _offer(owner)
    owner.post(f"{path}/mark-sold", {})
    assert moderator.post(f"{path}/suspend", {"reason": "A counterfeit."}).json["status"] == "suspended"
    assert_problem(stranger.get(path), 404, "not_found")
    mine = owner.forms(path)
    assert (mine["status_reason"], set(mine["_templates"]) - {"default"}) == ("A counterfeit.", {"delete", "bookmark"})
    for answer in (owner.put(path, {"title": "x"}), owner.post(f"{path}/publish", {}), owner.patch(path, {"price": 1})):
        assert_problem(answer, 409, "wrong_state")
    assert moderator.post(f"{path}/reinstate", {}).json["status"] == "sold"
    assert stranger.get(path).json["status"] == "sold"


# The end, and back.


def test_a_deleted_listing_is_gone_and_its_owner_can_bring_it_back(
    owner: Client, stranger: Client, people: People, moderator: Client
) -> None:
    path = _offer(owner)
    before = owner.get(path).json
    deleted = owner.delete(path)
    assert (deleted.status_int, deleted.json["message"]) == (200, "Listing deleted")
    assert _found(stranger) == []
    for caller in (stranger, people.customer(), owner, moderator):
        body = assert_problem(caller.get(path), 410, "gone")
        assert "Grand piano" not in str(body)
        assert ("restore" in body.get("_templates", {})) == (caller in (owner, moderator))
    assert_problem(owner.delete(path), 410, "gone")
    assert_problem(owner.put(path, {"title": "Again"}), 410, "gone")
    assert_problem(owner.post(f"{path}/publish", {}), 410, "gone")
    assert_problem(stranger.post(f"{path}/restore", {}), 410, "gone")
    assert _found(owner) == []
    mine = owner.get("/api/users/me/listings?status=deleted").json["listings"]
    assert [listing["status"] for listing in mine] == ["deleted"]
    restored = owner.post(f"{path}/restore", {})
    assert restored.status_int == 200
    assert {**restored.json, "date_updated": None} == {**before, "date_updated": None}
    assert _found(stranger) == ["Grand piano"]
    assert_problem(owner.post(f"{path}/restore", {}), 409, "wrong_state")


def test_after_thirty_days_there_is_no_way_back(owner: Client, db: Session) -> None:
    row = make_listing(db, owner.user, deleted_at=datetime.now(UTC) - timedelta(days=30, minutes=1))
    path = f"/api/listings/{row.listing_id}"
    assert_problem(owner.post(f"{path}/restore", {}), 410, "gone")
    assert "_templates" not in owner.get(path).json
    late = make_listing(db, owner.user, deleted_at=datetime.now(UTC) - timedelta(days=29, hours=23))
    assert owner.post(f"/api/listings/{late.listing_id}/restore", {}).status_int == 200


def test_a_deleted_draft_never_was_there_for_strangers(owner: Client, stranger: Client, people: People) -> None:
    path = _offer(owner, status="draft")
    owner.delete(path)
    for caller in (stranger, people.customer()):
        assert_problem(caller.get(path), 404, "not_found")
        assert_problem(caller.post(f"{path}/restore", {}), 404, "not_found")
    assert_problem(owner.get(path), 410, "gone")


def test_every_change_is_in_the_log_with_who_and_what(owner: Client, moderator: Client, db: Session) -> None:
    path = _offer(owner)
    owner.put(path, {"price": 1, "location": {"address": "Secret street 1"}})
    moderator.post(f"{path}/suspend", {"reason": "A counterfeit."})
    moderator.delete(path)
    events = _events(db, "listing.created", "listing.edited", "listing.status_changed", "listing.deleted")
    assert [event.type for event in events] == [
        "listing.created",
        "listing.edited",
        "listing.status_changed",
        "listing.deleted",
    ]
    assert [event.actor_id for event in events] == [owner.user.user_id] * 2 + [moderator.user.user_id] * 2
    assert (events[1].previous or {})["price"] == "4200.50" and events[1].new["price"] == "1.00"
    assert "Secret street" not in str([event.new for event in events])
    assert events[3].on_behalf_of_id == owner.user.user_id


# What strangers never learn.

QUERIES = (
    "", "search=piano", "search=pia", "search=grand+piano", "search=-bicycle", "category=furniture",
    "location=berlin", "location=10435",
    "min_price=4000", "amenities=bench", "verified=true", "verified=false", "near=52.54,13.41&radius_km=3",
    "near=52.54,13.41&sortBy=distance", "bbox=13.3,52.4,13.5,52.6", "sortBy=price", "sortBy=price&order=desc",
    "sortBy=title",
    "sortBy=rating", "sortBy=date_updated", "limit=1", "search=kastanienallee", "embed=owner", "fields=title",
    "facets=category,amenities,city,price,verified", "search=piano&facets=category,amenities,city,price,verified",
)  # fmt: skip
SUGGESTIONS = ("pia", "piano", "grand", "berl", "berlin", "kast", "furn", "pina")


def _observe(client: Client, owner_id: int, db: Session) -> dict[str, Any]:
    """All that a caller can learn without knowing an address."""
    compact_terms(db, 5_000)
    db.commit()
    pages = [f"/api/listings?{query}" for query in (*QUERIES, f"owner={owner_id}")]
    pages += [f"/api/search/suggestions?query={query}" for query in SUGGESTIONS]
    pages += ["/api/categories", f"/api/users/{owner_id}", f"/api/users/{owner_id}/listings"]
    answers = {page: client.get(page, Accept=HAL_FORMS) for page in pages}
    assert {page: answer.status_int for page, answer in answers.items() if answer.status_int != 200} == {}
    return {page: answer.json for page, answer in answers.items()}


HIDDEN = (
    "draft",
    "inactive",
    "pending_verification",
    "rejected",
    "suspended",
    "deleted",
    "owner_deactivated",
    "owner_banned",
)


@pytest.mark.parametrize("way", HIDDEN)
def test_what_is_hidden_appears_in_no_count_facet_suggestion_sort_or_error(
    way: str, owner: Client, people: People, db: Session
) -> None:
    other = people.customer()
    make_listing(db, other.user)
    watchers = [people.anonymous(), people.customer()]
    before = [_observe(watcher, other.user.user_id, db) for watcher in watchers]
    nowhere = [_refusals(watcher, "/api/listings/999999999") for watcher in watchers]
    path = _hide(way, owner, people, db)
    for watcher, known, absent in zip(watchers, before, nowhere, strict=True):
        after = _observe(watcher, other.user.user_id, db)
        for page, answer in known.items():
            assert after[page] == answer, f"{page} tells of a listing that is {way}"
        if way != "deleted":  # what was deleted says so, to those who could have seen it
            assert _refusals(watcher, path) == absent


def _refusals(client: Client, path: str) -> list[tuple[int, str, str]]:
    """How everything that could be tried on a listing is refused."""
    tried = [
        client.get(path), client.get(path, Accept=HAL_FORMS), client.request("HEAD", path),
        client.request("OPTIONS", path),
        client.put(path, {"title": "x"}), client.put(path, {"title": ""}),
        client.put(path, {"title": "x"}, If_Match='"1.a"'),
        client.patch(path, {"title": "x"}), client.delete(path), client.post(f"{path}/publish", {}),
        client.post(f"{path}/verify", {}),
        client.post(f"{path}/restore", {}), client.get(f"{path}/publish"), client.post(path, {}),
        client.get(path, If_None_Match="*"),
    ]  # fmt: skip
    return [(a.status_int, a.json["code"] if a.body else "", a.json["detail"] if a.body else "") for a in tried]


def _hide(way: str, owner: Client, people: People, db: Session) -> str:
    path = _offer(owner)
    moderator = people.moderator()
    match way:
        case "draft":
            db.execute(sa.text("UPDATE listings SET status = 'draft' WHERE user_id = :id"), {"id": owner.user.user_id})
            db.commit()
        case "inactive":
            owner.post(f"{path}/deactivate", {})
        case "pending_verification":
            owner.post(f"{path}/submit-for-verification", {})
        case "rejected":
            owner.post(f"{path}/submit-for-verification", {})
            moderator.post(f"{path}/reject", {"reason": "No, it is not."})
        case "suspended":
            moderator.post(f"{path}/suspend", {"reason": "A counterfeit."})
        case "deleted":
            owner.delete(path)
        case "owner_deactivated":
            assert owner.delete("/api/users/me", {"password": PASSWORD}).status_int == 200
        case "owner_banned":
            owner.user.state = "banned"
            db.execute(
                sa.text("UPDATE listings SET owner_hidden = true WHERE user_id = :id"), {"id": owner.user.user_id}
            )
            db.commit()
    return path


def test_a_deactivated_owner_s_listings_come_back_with_the_owner(owner: Client, stranger: Client) -> None:
    path = _offer(owner)
    owner.delete("/api/users/me", {"password": PASSWORD})
    assert _found(stranger) == []
    assert_problem(stranger.get(path), 404, "not_found")
    assert_problem(stranger.get(f"/api/users/{owner.user.user_id}"), 410, "gone")
    assert stranger.post("/api/auth/login", {"email": owner.user.email, "password": PASSWORD}).status_int == 200
    assert _found(stranger) == ["Grand piano"]
    assert stranger.get(path).status_int == 200


def test_strangers_see_about_where_it_is_and_never_the_address(
    owner: Client, people: People, moderator: Client
) -> None:
    path = _offer(owner)
    exact = {**NEW["location"], "is_approximate": False}  # type: ignore[dict-item]
    for caller in (owner, moderator, people.admin()):
        assert caller.get(path).json["location"] == exact
    for stranger in (people.anonymous(), people.customer(), people.suspended()):
        for page in (path, f"{path}?fields=location", f"{path}?embed=owner"):
            location = stranger.get(page).json["location"]
            assert location.keys() == PUBLIC_LOCATION
            assert (location["latitude"], location["longitude"], location["is_approximate"]) == (52.54, 13.41, True)
        for page in (
            path,
            "/api/listings",
            "/api/listings?near=52.5,13.4",
            f"/api/users/{owner.user.user_id}/listings",
            "/api",
        ):
            for media in ("application/json", "application/hal+json", HAL_FORMS):
                text = stranger.get(page, Accept=media).text
                for secret in ("Kastanienallee", "52.538", "13.4104"):
                    assert secret not in text, f"{secret} in {page}"


def test_the_address_cannot_be_searched_for(owner: Client, people: People) -> None:
    _offer(owner)
    for stranger in (people.anonymous(), people.customer()):
        for query in (
            "search=kastanienallee",
            "search=kasta",
            "location=kastanienallee",
            "location=Kastanienallee+7",
            "search=%22Kastanienallee+7%22",
        ):
            assert _found(stranger, query) == [], query
        suggestions = stranger.get("/api/search/suggestions?query=kasta").json["suggestions"]
        assert [suggestion["text"] for suggestion in suggestions if "astanien" in suggestion["text"]] == []


def test_the_exact_place_cannot_be_found_out_by_narrowing(owner: Client, stranger: Client) -> None:
    """Boxes, circles and distances are measured from where the listing is said to be, not from where it is."""
    _offer(owner)
    assert _found(stranger, "bbox=13.4100,52.5380,13.4105,52.5382") == []
    assert _found(stranger, "bbox=13.4099,52.5399,13.4101,52.5401") == ["Grand piano"]
    assert _found(stranger, "near=52.538123,13.410456&radius_km=0.1") == []
    assert _found(stranger, "near=52.54,13.41&radius_km=0.1") == ["Grand piano"]
    near = stranger.get("/api/listings?near=52.54,13.41&sortBy=distance").json["listings"]
    assert near[0]["distance_km"] == 0


def test_the_order_by_distance_does_not_tell_two_neighbours_apart(owner: Client, stranger: Client, db: Session) -> None:
    """Two listings that round to the same place lie equally far from everywhere."""
    for title, latitude in (("North", "52.544"), ("South", "52.536")):
        make_listing(db, owner.user, title=title, latitude=Decimal(latitude), longitude=Decimal("13.41"))
    orders = {
        tuple(_found(stranger, f"near={latitude},13.41&sortBy=distance")) for latitude in ("52.50", "52.58", "52.5359")
    }
    assert len(orders) == 1


def test_contact_information_and_e_mail_are_never_public(owner: Client, people: People) -> None:
    owner.put(
        "/api/users/me",
        {"contact_information": {"phone": "+49 30 123456", "address": "Hidden lane 3"}, "bio": "I sell pianos."},
    )
    path = _offer(owner)
    for stranger in (people.anonymous(), people.customer(), people.moderator()):
        for page in (path, f"{path}?embed=owner", f"/api/users/{owner.user.user_id}", "/api/listings?embed=owner"):
            for media in ("application/json", HAL_FORMS):
                text = stranger.get(page, Accept=media).text
                for secret in ("123456", "Hidden lane", owner.user.email, "contact_information", "password"):
                    assert secret not in text
    profile = people.anonymous().get(f"/api/users/{owner.user.user_id}").json
    assert profile.keys() - {"_links"} == {
        "user_id", "username", "profile_picture_url", "bio", "date_joined", "is_verified", "rating_average",
        "rating_count",
    }  # fmt: skip


def test_my_listings_show_all_states_and_filter_by_them(owner: Client, people: People, db: Session) -> None:
    for status in ("draft", "active", "inactive", "sold", "pending_verification", "rejected", "suspended"):
        make_listing(db, owner.user, status=status)
    make_listing(db, owner.user, deleted_at=datetime.now(UTC))
    mine = owner.get("/api/users/me/listings?limit=100").json
    assert {listing["status"] for listing in mine["listings"]} == {
        "draft", "active", "inactive", "sold", "pending_verification", "rejected", "suspended",
    }  # fmt: skip
    some = owner.get("/api/users/me/listings?status=draft,sold").json
    assert sorted(listing["status"] for listing in some["listings"]) == ["draft", "sold"]
    assert [x["status"] for x in owner.get("/api/users/me/listings?status=deleted").json["listings"]] == ["deleted"]
    theirs = people.customer().get(f"/api/users/{owner.user.user_id}/listings").json
    assert {listing["status"] for listing in theirs["listings"]} <= {"active", "sold"}
    assert_problem(people.anonymous().get("/api/users/me/listings"), 401, "unauthenticated")
