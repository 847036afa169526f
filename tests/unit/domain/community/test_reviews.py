"""Reviews: who may, of what, once; reply, edit and delete; and ratings that follow each of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from marketplace_api.config.settings import Settings
from marketplace_api.domain.catalog.listings import queries as listing_rows
from marketplace_api.domain.catalog.search import SearchQuery, search
from marketplace_api.domain.community.reviews import policy, queries, reading, writing
from marketplace_api.domain.identity.accounts import queries as account_rows
from marketplace_api.domain.identity.accounts.config import AccountRules
from marketplace_api.domain.kernel.actors import operator
from marketplace_api.domain.kernel.paging import PageRequest
from marketplace_api.domain.privacy import erasure
from marketplace_api.domain.privacy import export as privacy_export
from marketplace_api.errors import Conflict, DomainError, Forbidden, Gone, NotFound, PreconditionFailed
from marketplace_api.models.community.reviews import Review
from marketplace_api.models.kernel.events import Event
from tests.factories.accounts import make_user
from tests.factories.listings import make_listing
from tests.factories.reviews import actor_of, make_review, ratings
from tests.support.postgres import as_owner


def rating_of(db: Session, listing: Any) -> tuple[int, int, list[int]]:
    return ratings(db, "listings", "listing_id", listing.listing_id)


def told(db: Session, review_id: int) -> list[Event]:
    about = sa.select(Event).where(Event.subject_type == "review", Event.subject_id == review_id)
    return list(db.execute(about.order_by(Event.event_id)).scalars())


def test_the_rating_follows_posting_editing_and_deleting(db: Session) -> None:
    owner, moderator, listing = make_user(db), make_user(db, roles=["moderator"]), make_listing(db, make_user(db))
    five = make_review(db, make_user(db), listing=listing, rating=5)
    two = make_review(db, owner, listing=listing, rating=2)
    assert rating_of(db, listing) == (2, 7, [0, 1, 0, 0, 1])
    writing.edit(db, actor_of(moderator), two.review_id, changes={"rating": 4, "comment": "Good."}, reason="Asked for.")
    assert rating_of(db, listing) == (2, 9, [0, 0, 0, 1, 1])
    writing.edit(db, actor_of(moderator), two.review_id, changes={"comment": "Very good."}, reason="Asked for.")
    writing.delete(db, actor_of(moderator), five.review_id, reason="Spam.")
    assert rating_of(db, listing) == (1, 4, [0, 0, 0, 1, 0])
    with as_owner(db):
        db.execute(sa.delete(Review))
    assert rating_of(db, listing) == (0, 0, [0, 0, 0, 0, 0])


def test_a_person_is_rated_apart_from_their_listings(db: Session) -> None:
    person = make_user(db)
    make_review(db, make_user(db), person=person, rating=3)
    make_review(db, make_user(db), listing=make_listing(db, person), rating=1)
    assert ratings(db, "users", "user_id", person.user_id) == (1, 3, [0, 0, 1, 0, 0])


def test_a_rating_is_no_edit_and_search_counts_no_words_anew(db: Session) -> None:
    listing = make_listing(db, make_user(db))
    notes = sa.text("SELECT (SELECT count(*) FROM search_term_deltas) + (SELECT count(*) FROM search_changes)")
    before = db.execute(notes).scalar_one()
    make_review(db, make_user(db), listing=listing)
    after = listing_rows.find(db, listing.listing_id)
    assert (after.version, after.date_updated) == (listing.version, listing.date_updated)
    assert db.execute(notes).scalar_one() == before


def test_search_sorts_by_the_new_rating(db: Session) -> None:
    owner = make_user(db)
    listings = [make_listing(db, owner) for _ in range(3)]
    for listing, stars in zip(listings, (3, 5, 4), strict=True):
        make_review(db, make_user(db), listing=listing, rating=stars)
    found = search(db, SearchQuery(owner=owner.user_id, sort="rating"), PageRequest())
    assert [row.listing_id for row in found.items] == [listings[at].listing_id for at in (1, 2, 0)]


@pytest.mark.parametrize("target", ["listing", "person"])
def test_once_for_each_target_until_it_is_deleted(target: str, db: Session) -> None:
    author, owner = make_user(db), make_user(db)
    what = {"listing": make_listing(db, owner)} if target == "listing" else {"person": owner}
    first = make_review(db, author, **what)
    with pytest.raises(Conflict) as caught:
        make_review(db, author, **what)
    assert (caught.value.code, caught.value.extra["review_id"]) == ("already_reviewed", first.review_id)
    writing.delete(db, actor_of(make_user(db, roles=["moderator"])), first.review_id, reason="Insulting.")
    assert make_review(db, author, **what).review_id > first.review_id


def test_nobody_reviews_themselves(db: Session) -> None:
    user = make_user(db)
    for what in ({"person": user}, {"listing": make_listing(db, user)}):
        with pytest.raises(Forbidden) as caught:
            make_review(db, user, **what)
        assert caught.value.code == "own_review"


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"status": "draft"}, NotFound),
        ({"owner_hidden": True}, NotFound),
        ({"deleted": True}, Gone),
        ({"deleted": True, "status": "inactive"}, NotFound),
    ],
)
def test_a_listing_that_is_not_public_is_not_reviewed(
    values: dict[str, Any], error: type[DomainError], db: Session
) -> None:
    owner = make_user(db)
    fields = {name: value for name, value in values.items() if name != "deleted"}
    listing = make_listing(db, owner, **fields, **({"deleted_at": owner.date_joined} if "deleted" in values else {}))
    with pytest.raises(error):
        make_review(db, make_user(db), listing=listing)


def test_moderators_learn_that_a_draft_is_not_public(db: Session) -> None:
    with pytest.raises(Conflict) as caught:
        make_review(db, make_user(db, roles=["moderator"]), listing=make_listing(db, make_user(db), status="draft"))
    assert caught.value.code == "wrong_state"


@pytest.mark.parametrize(
    ("state", "error"), [("banned", NotFound), ("deactivated", Gone), ("erased", Gone), (None, NotFound)]
)
def test_an_account_that_is_gone_is_not_reviewed(state: str | None, error: type[DomainError], db: Session) -> None:
    author = actor_of(make_user(db))
    gone = {"state": state, "deactivated_at": datetime.now(UTC)}
    person = make_user(db, **gone).user_id if state else 10**15
    with pytest.raises(error):
        writing.post(db, author, rating=1, comment="Hm.", reviewee_id=person)


def test_the_predicate_asks_for_an_account_that_may_act(db: Session) -> None:
    listing, suspended = make_listing(db, make_user(db)), make_user(db, state="suspended")
    for user, expected in ((make_user(db), True), (suspended, False)):
        assert policy.may_review(actor_of(user), policy.of_listing(listing, actor_of(user))) is expected


def test_one_reply_by_the_reviewed_side(db: Session) -> None:
    owner, moderator = make_user(db), make_user(db, roles=["moderator"])
    review = make_review(db, make_user(db), listing=make_listing(db, owner))
    with pytest.raises(Forbidden):
        writing.reply(db, actor_of(moderator), review.review_id, "No.")
    replied = writing.reply(db, actor_of(owner), review.review_id, "Thank you.", expected_version=1)
    assert (replied.reply, replied.version) == ("Thank you.", 2)
    for _ in range(2):
        with pytest.raises(Conflict):
            writing.reply(db, actor_of(owner), review.review_id, "And also.")
        # A reply that a moderator took away was the one reply.
        writing.edit(db, actor_of(moderator), review.review_id, changes={"reply": None}, reason="Insulting.")
    assert [event.type for event in told(db, review.review_id)] == ["review.posted", "review.replied", "review.edited"]


def test_moderation_says_why_and_what(db: Session) -> None:
    author, owner, moderator = make_user(db), make_user(db), make_user(db, roles=["moderator"])
    review = make_review(db, author, person=owner, rating=1, comment="Call 555-1234!")
    same = writing.edit(db, actor_of(moderator), review.review_id, changes={"rating": 1}, reason="Nothing.")
    assert same.version == review.version
    with pytest.raises(Conflict):
        writing.edit(db, actor_of(moderator), review.review_id, changes={"reply": "Mine."}, reason="Words in a mouth.")
    with pytest.raises(PreconditionFailed):
        writing.edit(
            db, actor_of(moderator), review.review_id, changes={"rating": 2}, reason="Late.", expected_version=9
        )
    edited = writing.edit(
        db, actor_of(moderator), review.review_id, changes={"comment": "Call!"}, reason="Phone number."
    )
    assert (edited.comment, edited.moderation_reason) == ("Call!", "Phone number.")
    writing.delete(db, actor_of(moderator), review.review_id, reason="Still an advert.")
    for call in (writing.edit, writing.delete):
        changes = {"changes": {"rating": 5}} if call is writing.edit else {}
        with pytest.raises(Gone):
            call(db, actor_of(moderator), review.review_id, reason="Too late.", **changes)
    with pytest.raises(NotFound):
        writing.delete(db, actor_of(moderator), 10**15, reason="Not there.")
    posted, changed, deleted = told(db, review.review_id)
    ids = {
        "listing_id": None,
        "reviewee_id": owner.user_id,
        "owner_id": owner.user_id,
        "reviewer_id": author.user_id,
        "rating": 1,
    }
    assert posted.new == ids
    assert (deleted.previous, deleted.new) == ({"status": "published"}, {**ids, "status": "deleted"})
    assert changed.new == {**ids, "fields": ["comment"]}
    assert (changed.reason, deleted.reason) == ("Phone number.", "Still an advert.")


def test_lists_walk_both_ways_with_exact_ratings(db: Session) -> None:
    listing, moderator = make_listing(db, make_user(db)), make_user(db, roles=["moderator"])
    reviews = [make_review(db, make_user(db), listing=listing, rating=stars) for stars in (1, 5, 5, 4, 3)]
    writing.delete(db, actor_of(moderator), reviews[0].review_id, reason="Spam.")
    newest_first = [review.review_id for review in reversed(reviews[1:])]

    def part(**values: Any) -> Any:
        return reading.list_page(db, "listing_id", listing.listing_id, PageRequest(limit=2, **values))

    first, counted = part()
    second, _same = part(cursor=first.next_cursor)
    back, _same = part(cursor=second.prev_cursor)
    assert [row.review_id for row in (*first.items, *second.items)] == newest_first
    assert [row.review_id for row in back.items] == newest_first[:2]
    assert (first.total, second.next_cursor) == (4, None)
    assert (counted.count, counted.sum, counted.average, counted.histogram) == (4, 17, 4.25, (0, 0, 1, 1, 2))
    assert [row.review_id for row in reading.latest(db, listing.listing_id)] == newest_first[:3]
    empty, nothing = reading.list_page(db, "reviewee_id", listing.user_id, PageRequest())
    assert (empty.items, empty.total, nothing.average) == ([], 0, None)
    with pytest.raises(NotFound):
        reading.list_page(db, "listing_id", 10**15, PageRequest())


def test_erasure_takes_the_name_and_leaves_the_review(db: Session, settings: Settings) -> None:
    author, listing = make_user(db), make_listing(db, make_user(db))
    review = make_review(db, author, listing=listing, rating=5)
    assert review.reviewer_username == author.username
    assert [row["review_id"] for row in privacy_export.collect(db, author.user_id)["reviews"]] == [review.review_id]
    locked, _now = account_rows.lock_user(db, author.user_id)
    erasure.erase_account(db, AccountRules.from_settings(settings), locked, operator("test"))
    kept = queries.find(db, review.review_id)
    assert kept is not None
    assert (kept.comment, kept.reviewer_username) == (review.comment, None)
    assert rating_of(db, listing)[:2] == (1, 5)


@pytest.mark.parametrize(
    ("values", "constraint"),
    [
        ({"reviewee_id": None}, "one_target"),
        ({"reviewer": "person"}, "not_of_oneself"),
        ({"rating": 6}, "rating"),
        ({"comment": ""}, "comment"),
        ({"reviewer": "owner", "on_listing": True}, "their own listing"),
        ({"reply": "Hm."}, "date_replied"),
    ],
)
def test_the_database_is_the_last_wall(values: dict[str, Any], constraint: str, db: Session) -> None:
    owner, person = make_user(db), make_user(db)
    listing = make_listing(db, owner)
    who = {"owner": owner, "person": person}.get(values.pop("reviewer", ""), make_user(db))
    fields = {"reviewer_id": who.user_id, "reviewee_id": person.user_id, "rating": 3, "comment": "Hm."}
    if values.pop("on_listing", False):
        fields |= {"listing_id": listing.listing_id, "reviewee_id": None}
    with pytest.raises(IntegrityError, match=constraint), db.begin_nested():
        db.execute(sa.insert(Review).values({**fields, **values}))


def test_a_review_never_changes_sides(db: Session) -> None:
    review = make_review(db, make_user(db), person=make_user(db))
    with pytest.raises(IntegrityError, match="keeps its author"), db.begin_nested():
        db.execute(
            sa.update(Review).where(Review.review_id == review.review_id).values(reviewee_id=make_user(db).user_id)
        )
