"""What strangers must not learn of listings: those that are hidden, exact places, contact information."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.domain.catalog.search import compact_terms
from tests.factories.accounts import PASSWORD, People
from tests.factories.listings import make_listing
from tests.functional.listings_world import NEW, found, offer
from tests.support.client import HAL_FORMS, Client
from tests.support.problems import assert_problem

PUBLIC_LOCATION = {"city", "state", "zip", "country", "latitude", "longitude", "is_approximate"}


# What strangers never learn.

QUERIES = (
    "",
    "search=piano",
    "search=pia",
    "search=grand+piano",
    "search=-bicycle",
    "category=furniture",
    "location=berlin",
    "location=10435",
    "min_price=4000",
    "amenities=bench",
    "verified=true",
    "verified=false",
    "near=52.54,13.41&radius_km=3",
    "near=52.54,13.41&sortBy=distance",
    "bbox=13.3,52.4,13.5,52.6",
    "sortBy=price",
    "sortBy=price&order=desc",
    "sortBy=title",
    "sortBy=rating",
    "sortBy=date_updated",
    "limit=1",
    "search=kastanienallee",
    "embed=owner",
    "fields=title",
    "facets=category,amenities,city,price,verified",
    "search=piano&facets=category,amenities,city,price,verified",
)


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
        client.get(path),
        client.get(path, Accept=HAL_FORMS),
        client.request("HEAD", path),
        client.request("OPTIONS", path),
        client.put(path, {"title": "x"}),
        client.put(path, {"title": ""}),
        client.put(path, {"title": "x"}, If_Match='"1.a"'),
        client.patch(path, {"title": "x"}),
        client.delete(path),
        client.post(f"{path}/publish", {}),
        client.post(f"{path}/verify", {}),
        client.post(f"{path}/restore", {}),
        client.get(f"{path}/publish"),
        client.post(path, {}),
        client.get(path, If_None_Match="*"),
    ]
    return [(a.status_int, a.json["code"] if a.body else "", a.json["detail"] if a.body else "") for a in tried]


def _hide(way: str, owner: Client, people: People, db: Session) -> str:
    path = offer(owner)
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
    path = offer(owner)
    owner.delete("/api/users/me", {"password": PASSWORD})
    assert found(stranger) == []
    assert_problem(stranger.get(path), 404, "not_found")
    assert_problem(stranger.get(f"/api/users/{owner.user.user_id}"), 410, "gone")
    assert stranger.post("/api/auth/login", {"email": owner.user.email, "password": PASSWORD}).status_int == 200
    assert found(stranger) == ["Grand piano"]
    assert stranger.get(path).status_int == 200


def test_strangers_see_about_where_it_is_and_never_the_address(
    owner: Client, people: People, moderator: Client
) -> None:
    path = offer(owner)
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
    offer(owner)
    for stranger in (people.anonymous(), people.customer()):
        for query in (
            "search=kastanienallee",
            "search=kasta",
            "location=kastanienallee",
            "location=Kastanienallee+7",
            "search=%22Kastanienallee+7%22",
        ):
            assert found(stranger, query) == [], query
        suggestions = stranger.get("/api/search/suggestions?query=kasta").json["suggestions"]
        assert [suggestion["text"] for suggestion in suggestions if "astanien" in suggestion["text"]] == []


def test_the_exact_place_cannot_be_found_out_by_narrowing(owner: Client, stranger: Client) -> None:
    """Boxes, circles and distances are measured from where the listing is said to be, not from where it is."""
    offer(owner)
    assert found(stranger, "bbox=13.4100,52.5380,13.4105,52.5382") == []
    assert found(stranger, "bbox=13.4099,52.5399,13.4101,52.5401") == ["Grand piano"]
    assert found(stranger, "near=52.538123,13.410456&radius_km=0.1") == []
    assert found(stranger, "near=52.54,13.41&radius_km=0.1") == ["Grand piano"]
    near = stranger.get("/api/listings?near=52.54,13.41&sortBy=distance").json["listings"]
    assert near[0]["distance_km"] == 0


def test_the_order_by_distance_does_not_tell_two_neighbours_apart(owner: Client, stranger: Client, db: Session) -> None:
    """Two listings that round to the same place lie equally far from everywhere."""
    for title, latitude in (("North", "52.544"), ("South", "52.536")):
        make_listing(db, owner.user, title=title, latitude=Decimal(latitude), longitude=Decimal("13.41"))
    orders = {
        tuple(found(stranger, f"near={latitude},13.41&sortBy=distance")) for latitude in ("52.50", "52.58", "52.5359")
    }
    assert len(orders) == 1


def test_contact_information_and_e_mail_are_never_public(owner: Client, people: People) -> None:
    owner.put(
        "/api/users/me",
        {"contact_information": {"phone": "+49 30 123456", "address": "Hidden lane 3"}, "bio": "I sell pianos."},
    )
    path = offer(owner)
    for stranger in (people.anonymous(), people.customer(), people.moderator()):
        for page in (path, f"{path}?embed=owner", f"/api/users/{owner.user.user_id}", "/api/listings?embed=owner"):
            for media in ("application/json", HAL_FORMS):
                text = stranger.get(page, Accept=media).text
                for secret in ("123456", "Hidden lane", owner.user.email, "contact_information", "password"):
                    assert secret not in text
    profile = people.anonymous().get(f"/api/users/{owner.user.user_id}").json
    assert profile.keys() - {"_links"} == {
        "user_id",
        "username",
        "profile_picture_url",
        "bio",
        "date_joined",
        "is_verified",
        "rating_average",
        "rating_count",
    }
