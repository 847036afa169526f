"""The badge of a listing after it was given: what takes it back to the moderators, and who is told why."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.models.kernel.events import Event
from tests.factories.listings import make_listing
from tests.factories.verifications import PNG
from tests.support.client import Client
from tests.support.problems import assert_problem


@pytest.fixture
def path(owner: Client, moderator: Client, db: Session) -> str:
    """A listing at 100.00 that was verified."""
    row = make_listing(db, owner.user, price="100.00", status="draft")
    address = f"/api/listings/{row.listing_id}"
    assert owner.post(f"{address}/submit-for-verification").status_int == 200
    assert moderator.post(f"{address}/verify").json["is_verified_listing"] is True
    return address


def has_badge(client: Client, path: str) -> bool:
    return bool(client.get(path).json["is_verified_listing"])


def last_event(db: Session, path: str) -> Any:
    mine = sa.and_(Event.subject_type == "listing", Event.subject_id == int(path.rpartition("/")[2]))
    return db.execute(sa.select(Event).where(mine).order_by(Event.event_id.desc())).scalars().first()


@pytest.mark.parametrize(
    ("prices", "keeps"),
    [
        ([150], True),
        ([150.01], False),
        ([50], True),
        ([49.99], False),
        ([120, 140, 150], True),
        ([140, 190], False),
        ([60, 40], False),
        ([150, 60, 150, 50], True),
        ([120, 100, 150], True),
    ],
)
def test_prices_are_held_against_what_was_verified(
    prices: list[float], keeps: bool, owner: Client, moderator: Client, path: str
) -> None:
    for price in prices[:-1]:
        assert owner.patch(path, {"price": price}).json["is_verified_listing"] is True
    assert owner.patch(path, {"price": prices[-1]}).json["is_verified_listing"] is keeps
    if keeps:
        assert "verify" not in moderator.forms(path)["_templates"]
        return
    assert moderator.post(f"{path}/verify").json["is_verified_listing"] is True
    # From here on the new price is what was verified.
    assert owner.patch(path, {"price": round(prices[-1] * 1.4, 2)}).json["is_verified_listing"] is True


def test_the_log_tells_when_a_badge_is_lost(owner: Client, db: Session, path: str) -> None:
    owner.patch(path, {"price": 120})
    assert "is_verified_listing" not in last_event(db, path).new
    owner.patch(path, {"title": "Something else"})
    event = last_event(db, path)
    assert (event.type, event.previous["is_verified_listing"], event.new["is_verified_listing"]) == (
        "listing.edited",
        True,
        False,
    )
    owner.patch(path, {"title": "Something else again"})
    assert "is_verified_listing" not in last_event(db, path).new


def test_a_photo_takes_the_badge_back_to_review(owner: Client, moderator: Client, db: Session, path: str) -> None:
    assert owner.request("POST", f"{path}/photos", {"file": PNG}).status_int == 201
    assert not has_badge(owner, path)
    assert last_event(db, path).new["is_verified_listing"] is False
    assert "verify" in moderator.forms(path)["_templates"]


def test_a_changed_listing_that_no_longer_convinces(owner: Client, moderator: Client, db: Session, path: str) -> None:
    owner.patch(path, {"description": "Stolen from the neighbours."})
    reason = "We cannot verify what was stolen."
    rejected = moderator.post(f"{path}/reject", {"reason": reason}).json
    assert (rejected["status"], rejected["is_verified_listing"]) == ("rejected", False)
    shown = owner.get(path).json
    assert (shown["status"], shown["status_reason"]) == ("rejected", reason)
    (mine,) = owner.get("/api/users/me/listings?status=rejected").json["listings"]
    assert mine["status_reason"] == reason
    event = last_event(db, path)
    assert (event.type, event.new["step"], event.new["reason"]) == ("listing.status_changed", "reject", reason)
    again = owner.post(f"{path}/submit-for-verification").json
    assert (again["status"], again["status_reason"]) == ("pending_verification", None)
    assert moderator.post(f"{path}/verify").json["is_verified_listing"] is True


def test_what_is_verified_or_not_waiting_cannot_be_asked_for_or_decided(
    owner: Client, moderator: Client, path: str
) -> None:
    assert_problem(owner.post(f"{path}/submit-for-verification"), 409, "wrong_state")
    assert_problem(moderator.post(f"{path}/verify"), 409, "wrong_state")
    assert_problem(moderator.post(f"{path}/reject", {"reason": "Changed my mind."}), 409, "wrong_state")
    # Whoever takes it down while it is looked at again takes it out of the queue as well.
    owner.patch(path, {"title": "Something else"})
    owner.post(f"{path}/deactivate")
    owner.post(f"{path}/publish")
    assert_problem(moderator.post(f"{path}/verify"), 409, "wrong_state")
    assert not has_badge(owner, path)


def test_a_moderator_who_read_something_else_is_told(owner: Client, moderator: Client, path: str) -> None:
    owner.patch(path, {"title": "Something else"})
    tag = moderator.get(path).headers["ETag"]
    owner.patch(path, {"title": "Something quite different"})
    answer = moderator.post(f"{path}/verify", {}, If_Match=tag)
    assert assert_problem(answer, 412, "precondition_failed")["current"]["title"] == "Something quite different"
    assert not has_badge(owner, path)
