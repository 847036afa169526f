"""The life of a listing: the badge, the steps, deletion and return, and the log of it all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.models.kernel.events import Event
from tests.factories.accounts import People
from tests.factories.listings import make_listing
from tests.functional.listings_world import found, offer
from tests.support.client import Client
from tests.support.problems import assert_problem, named


def _events(db: Session, *types: str) -> list[Event]:
    return list(db.scalars(sa.select(Event).where(Event.type.in_(types)).order_by(Event.event_id)))


# The badge.


def _verified(owner: Client, moderator: Client) -> str:
    path = offer(owner)
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
    assert len(found(stranger, "verified=true")) == keeps
    offered = moderator.forms(path)["_templates"]
    assert ("verify" in offered) == (not keeps)
    if not keeps:
        assert moderator.post(f"{path}/verify", {}).json["is_verified_listing"] is True


def test_a_refusal_of_the_badge_is_read_with_its_reason_by_the_owner_alone(
    owner: Client, moderator: Client, stranger: Client
) -> None:
    path = offer(owner)
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
    path = offer(owner, status="draft")
    assert found(stranger) == []
    for step, status, is_found in (
        ("publish", "active", True),
        ("deactivate", "inactive", False),
        ("publish", "active", True),
        ("mark-sold", "sold", False),
        ("publish", "active", True),
    ):
        assert step in owner.forms(path)["_templates"]
        assert owner.post(f"{path}/{step}", {}).json["status"] == status
        assert (found(stranger) == ["Grand piano"]) == is_found
    refused = owner.post(f"{path}/publish", {})
    body = assert_problem(refused, 409, "wrong_state")
    assert (body["state"], body["_links"]["related"]["href"]) == ("active", path)


def test_a_sold_listing_is_open_to_all_but_not_found(owner: Client, stranger: Client) -> None:
    path = offer(owner)
    owner.post(f"{path}/mark-sold", {})
    assert stranger.get(path).json["status"] == "sold"
    assert found(stranger, "search=piano") == []


def test_a_status_that_is_put_goes_through_the_workflow(owner: Client, db: Session) -> None:
    path = offer(owner)
    answer = owner.put(path, {"status": "sold", "title": "Sold piano"})
    assert (answer.status_int, answer.json["status"], answer.json["title"]) == (200, "sold", "Sold piano")
    steps = [event.new["step"] for event in _events(db, "listing.status_changed")]
    assert steps == ["mark-sold"]
    assert owner.patch(path, {"status": "active"}).json["status"] == "active"
    assert owner.put(path, {"status": "active"}).status_int == 200
    assert len(_events(db, "listing.status_changed")) == 2


def test_a_status_that_no_step_leads_to_is_a_conflict_and_nothing_of_the_edit_stays(owner: Client) -> None:
    path = offer(owner)
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
    path = offer(owner)
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
    path = offer(owner)
    before = owner.get(path).json
    deleted = owner.delete(path)
    assert (deleted.status_int, deleted.json["message"]) == (200, "Listing deleted")
    assert found(stranger) == []
    for caller in (stranger, people.customer(), owner, moderator):
        body = assert_problem(caller.get(path), 410, "gone")
        assert "Grand piano" not in str(body)
        assert ("restore" in body.get("_templates", {})) == (caller in (owner, moderator))
    assert_problem(owner.delete(path), 410, "gone")
    assert_problem(owner.put(path, {"title": "Again"}), 410, "gone")
    assert_problem(owner.post(f"{path}/publish", {}), 410, "gone")
    assert_problem(stranger.post(f"{path}/restore", {}), 410, "gone")
    assert found(owner) == []
    mine = owner.get("/api/users/me/listings?status=deleted").json["listings"]
    assert [listing["status"] for listing in mine] == ["deleted"]
    restored = owner.post(f"{path}/restore", {})
    assert restored.status_int == 200
    assert {**restored.json, "date_updated": None} == {**before, "date_updated": None}
    assert found(stranger) == ["Grand piano"]
    assert_problem(owner.post(f"{path}/restore", {}), 409, "wrong_state")


def test_after_thirty_days_there_is_no_way_back(owner: Client, db: Session) -> None:
    row = make_listing(db, owner.user, deleted_at=datetime.now(UTC) - timedelta(days=30, minutes=1))
    path = f"/api/listings/{row.listing_id}"
    assert_problem(owner.post(f"{path}/restore", {}), 410, "gone")
    assert "_templates" not in owner.get(path).json
    late = make_listing(db, owner.user, deleted_at=datetime.now(UTC) - timedelta(days=29, hours=23))
    assert owner.post(f"/api/listings/{late.listing_id}/restore", {}).status_int == 200


def test_a_deleted_draft_never_was_there_for_strangers(owner: Client, stranger: Client, people: People) -> None:
    path = offer(owner, status="draft")
    owner.delete(path)
    for caller in (stranger, people.customer()):
        assert_problem(caller.get(path), 404, "not_found")
        assert_problem(caller.post(f"{path}/restore", {}), 404, "not_found")
    assert_problem(owner.get(path), 410, "gone")


def test_every_change_is_in_the_log_with_who_and_what(owner: Client, moderator: Client, db: Session) -> None:
    path = offer(owner)
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
