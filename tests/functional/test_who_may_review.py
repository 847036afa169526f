"""What keeps somebody from reviewing: it is not offered then, and refused by a code of its own; else offered and done."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.domain.community.reviews.eligibility import ReviewRules
from marketplace_api.models.identity.accounts import User
from tests.factories.accounts import People, make_user
from tests.factories.conversations import block, send
from tests.factories.listings import make_listing
from tests.functional.test_shown_is_allowed import undone
from tests.support.client import HAL_FORMS, Client

LONG_AGO = datetime.now(UTC) - timedelta(days=60)
STRICT = ReviewRules(need_conversation=True, account_days=30)
SITUATIONS: dict[str, tuple[ReviewRules, str | None]] = {
    "plain": (ReviewRules(), None),
    "unconfirmed": (ReviewRules(), "email_unconfirmed"),
    "bounced": (ReviewRules(), None),
    "blocked by them": (ReviewRules(), "blocked"),
    "blocked by the reviewer": (ReviewRules(), None),
    "blocked and unconfirmed": (ReviewRules(), "blocked"),
    "new": (STRICT, "account_too_new"),
    "no conversation": (STRICT, "no_conversation"),
    "unanswered": (STRICT, "no_conversation"),
    "only got a message": (STRICT, "no_conversation"),
    "with somebody else": (STRICT, "no_conversation"),
    "both wrote": (STRICT, None),
    "new, and no need of age": (ReviewRules(need_conversation=True), None),
}


class World:
    """A reviewer, and somebody with a listing, in one of the situations."""

    def __init__(self, db: Session, people: People, situation: str) -> None:
        values: dict[str, Any] = {} if situation.startswith("new") else {"date_joined": LONG_AGO}
        if "unconfirmed" in situation:
            values["email_confirmed_at"] = None
        if situation == "bounced":
            values["email_bounced_at"] = datetime.now(UTC)
        self.reviewer, self.other = make_user(db, **values), make_user(db)
        self.listing = make_listing(db, self.other)
        self._make(db, situation)
        self.client = people.client_for(self.reviewer)

    def _make(self, db: Session, situation: str) -> None:
        me, other = self.reviewer, self.other
        if situation in ("unanswered", "both wrote", "new", "new, and no need of age"):
            send(db, me, other)
        if situation in ("only got a message", "both wrote", "new", "new, and no need of age"):
            send(db, other, me)
        if situation == "with somebody else":
            third = make_user(db)
            send(db, me, third)
            send(db, third, me)
            send(db, third, other)
        if situation in ("blocked by them", "blocked and unconfirmed"):
            block(db, other, me)
        if situation == "blocked by the reviewer":
            block(db, me, other)
        db.commit()


@pytest.mark.parametrize("target", ["listing", "person"])
@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_review_is_offered_where_it_is_taken(
    situation: str, target: str, databases: Any, db: Session, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules, code = SITUATIONS[situation]
    monkeypatch.setattr(people.app.registry, "review_rules", rules)
    world = World(db, people, situation)
    if target == "listing":
        page, body = f"/api/listings/{world.listing.listing_id}", {"listing_id": world.listing.listing_id}
    else:
        page, body = f"/api/users/{world.other.user_id}", {"reviewee_id": world.other.user_id}
    shown = "review" in world.client.get(page, Accept=HAL_FORMS).json["_templates"]
    assert shown == (code is None)
    assert _listed(world.client, world.listing.listing_id) == shown
    with undone(databases):
        answer = world.client.post("/api/reviews", {**body, "rating": 4, "comment": "Fair."})
    if code is None:
        assert answer.status_int == 201, answer.text
    else:
        assert (answer.status_int, answer.json["code"]) == (403, code)
        assert db.execute(sa.text("SELECT count(*) FROM reviews")).scalar_one() == 0


def _listed(client: Client, listing_id: int) -> bool:
    """Whether a page of search offers it for this listing."""
    found = client.forms("/api/listings?limit=100")["_embedded"]["listings"]
    (item,) = [item for item in found if item["listing_id"] == listing_id]
    return "review" in item["_templates"]


def test_once_it_is_confirmed_it_is_offered(db: Session, people: People) -> None:
    world = World(db, people, "unconfirmed")
    path = f"/api/users/{world.other.user_id}"
    assert "review" not in world.client.forms(path)["_templates"]
    confirmed = sa.update(User).where(User.user_id == world.reviewer.user_id).values(email_confirmed_at=sa.func.now())
    db.execute(confirmed)
    db.commit()
    assert "review" in world.client.forms(path)["_templates"]
