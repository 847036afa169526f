"""Undoing batches that followed each other, and who may undo what."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.domain.catalog.listings import editing
from marketplace_api.domain.community.reviews import writing
from marketplace_api.domain.trust.moderation.batches import changed_since
from marketplace_api.errors import Conflict, Forbidden
from marketplace_api.models.catalog.listings import Listing
from marketplace_api.models.community.reviews import Review
from marketplace_api.models.identity.accounts import User
from tests.factories.accounts import make_user
from tests.factories.listings import make_listing
from tests.factories.notifications import listed
from tests.factories.reviews import actor_of, make_review
from tests.unit.domain.trust.test_batches import BOSS, details, run, state_of, undo
from tests.unit.jobs.test_notification_handlers_bulk import notify


def test_the_last_is_undone_first(db: Session) -> None:
    owner = make_user(db)
    one, touched = (make_listing(db, owner, title="Spam").listing_id for _ in range(2))
    before, where = state_of(db, one), f"user_id = {owner.user_id}"
    batches = [run(db, "listings", action, where) for action in ("suspend", "delete", "restore", "reinstate")]
    for batch_id in batches[:0:-1]:
        undo(db, batch_id)
    assert state_of(db, one)[0] == "suspended"
    editing.delete(db, BOSS, touched)
    assert changed_since(db, batches[0]) == 1
    undo(db, batches[0])
    assert state_of(db, one) == before
    assert details(db, batches[0])[touched] == ("kept", "It has changed since.")

    suspended, banned = (run(db, "users", action, where) for action in ("suspend", "ban"))
    undo(db, banned)
    undo(db, suspended)
    assert db.get_one(User, owner.user_id, populate_existing=True).state == "active"


def test_what_was_kept_is_put_back_once_what_stood_against_it_is_undone(db: Session) -> None:
    owner = make_user(db)
    one, free = (make_listing(db, owner, title="Spam").listing_id for _ in range(2))
    before = state_of(db, one)
    suspended = run(db, "listings", "suspend", f"user_id = {owner.user_id}")
    deleted = run(db, "listings", "delete", f"listing_id = {one}")
    undo(db, suspended)
    assert {key: outcome for key, (outcome, _) in details(db, suspended).items()} == {one: "kept", free: "restored"}
    undo(db, deleted)
    undo(db, suspended)
    assert state_of(db, one) == before
    assert details(db, suspended) == {one: ("restored", None), free: ("restored", None)}
    with pytest.raises(Conflict, match="is undone"):
        undo(db, suspended)


def test_nobody_undoes_what_was_done_to_their_own(db: Session) -> None:
    judge = make_user(db, roles=["moderator"])
    listing_id = make_listing(db, judge, title="Spam").listing_id
    batch_id = run(db, "listings", "suspend", f"listing_id = {listing_id}")
    undo(db, batch_id, actor_of(judge))
    assert details(db, batch_id) == {listing_id: ("kept", "Nobody decides on their own listing.")}
    assert db.get_one(Listing, listing_id, populate_existing=True).status == "suspended"
    notify(db)
    assert [note.type for note in listed(db, judge)] == ["listing_suspended"], "though it was told after the undo"


def test_reviews_are_judged_by_others_and_keep_their_reason(db: Session) -> None:
    judge, author = make_user(db, roles=["moderator"]), make_user(db)
    about = make_review(db, author, listing=make_listing(db, judge), rating=1).review_id
    actor, where = actor_of(judge), f"review_id = {about}"
    with pytest.raises(Forbidden, match="about you"):
        writing.delete(db, actor, about, reason="I do not like it.")
    assert details(db, run(db, "reviews", "delete", where, actor)) == {about: ("skipped", writing.concerned().detail)}

    writing.delete(db, BOSS, about, reason="It insults.")
    undo(db, run(db, "reviews", "restore", where))
    reason = sa.select(Review.moderation_reason).where(Review.review_id == about, Review.deleted_at.is_not(None))
    assert db.scalar(reason) == "It insults."
