"""Reviews over HTTP: writing, reading with ratings, replying, moderating; what each caller sees and may do."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.models.catalog.listings import Listing
from marketplace_api.models.identity.accounts import User
from tests.factories.accounts import People, make_user
from tests.factories.listings import make_listing
from tests.factories.reviews import make_review
from tests.support.client import Client
from tests.support.sql_recorder import recorded

REVIEWS = "/api/reviews"
REASON = {"reason": "It names a third person."}


def written(client: Client, **values: Any) -> Any:
    return client.post(REVIEWS, {"rating": 4, "comment": "Good light, good brakes.", **values})


def errors(response: Any) -> set[tuple[str, str]]:
    return {(error["name"], error["code"]) for error in response.json["errors"]}


def test_from_the_listing_to_the_rating(db: Session, people: People) -> None:
    owner, client = people.customer(), people.customer()
    listing = make_listing(db, owner.user)
    path = f"/api/listings/{listing.listing_id}"
    document = client.forms(path)
    form = document["_templates"]["review"]
    assert [(field["name"], field.get("value")) for field in form["properties"]] == [
        ("listing_id", listing.listing_id),
        ("rating", None),
        ("comment", None),
    ]
    answer = written(client, listing_id=listing.listing_id, rating=4)
    assert answer.status_int == 201
    review = answer.json
    assert answer.headers["Location"] == f"{REVIEWS}/{review['review_id']}"
    assert (review["reviewer_username"], review["listing_id"], review["reviewee_id"]) == (
        client.user.username,
        listing.listing_id,
        None,
    )
    written(people.customer(), listing_id=listing.listing_id, rating=5)
    assert "review" not in client.forms(path)["_templates"]
    again = written(client, listing_id=listing.listing_id)
    assert (again.status_int, again.json["code"], again.json["review_id"]) == (
        409,
        "already_reviewed",
        review["review_id"],
    )
    found = people.anonymous().get(document["_links"]["mkt:reviews"]["href"]).json
    assert (found["rating_average"], found["rating_count"], found["totalItems"]) == (4.5, 2, 2)
    assert found["histogram"] == {"1": 0, "2": 0, "3": 0, "4": 1, "5": 1}
    assert [item["rating"] for item in found["reviews"]] == [5, 4]
    shown = client.get(path).json
    assert (shown["rating_average"], shown["rating_count"]) == (4.5, 2)


def test_of_a_person(db: Session, people: People) -> None:
    person, client = people.customer(), people.customer()
    path = f"/api/users/{person.user.user_id}"
    form = client.forms(path)["_templates"]["review"]
    assert [field["name"] for field in form["properties"]] == ["reviewee_id", "rating", "comment"]
    assert written(client, reviewee_id=form["properties"][0]["value"], rating=2).status_int == 201
    assert "review" not in client.forms(path)["_templates"]
    assert "review" not in person.forms(path)["_templates"]
    assert client.get(f"{path}/reviews").json["histogram"]["2"] == 1
    assert client.get(path).json["rating_average"] == 2


def test_exactly_one_target_and_all_errors_at_once(db: Session, people: People) -> None:
    client = people.customer()
    both = {"listing_id": 1, "reviewee_id": 1}
    assert errors(written(client, **both)) == {("listing_id", "two_targets"), ("reviewee_id", "two_targets")}
    assert errors(written(client)) == {("listing_id", "required"), ("reviewee_id", "required")}
    wrong = {"listing_id": 1, "rating": 6, "comment": " "}
    assert errors(client.post(REVIEWS, wrong)) == {("rating", "out_of_range"), ("comment", "too_short")}
    assert errors(written(client, listing_id=1, rating=4.5, comment="x" * 5001)) == {
        ("rating", "not_an_integer"),
        ("comment", "too_long"),
    }


def test_never_of_oneself(db: Session, people: People) -> None:
    client = people.customer()
    listing = make_listing(db, client.user)
    for target in ({"listing_id": listing.listing_id}, {"reviewee_id": client.user.user_id}):
        answer = written(client, **target)
        assert (answer.status_int, answer.json["code"]) == (403, "own_review")


def test_of_what_was_deleted_meanwhile(db: Session, people: People) -> None:
    owner, client = people.customer(), people.customer()
    listing = make_listing(db, owner.user)
    assert "review" in client.forms(f"/api/listings/{listing.listing_id}")["_templates"]
    owner.delete(f"/api/listings/{listing.listing_id}")
    answer = written(client, listing_id=listing.listing_id)
    assert (answer.status_int, answer.json["detail"]) == (410, "This listing was deleted; nothing was saved.")
    assert written(client, listing_id=10**15).status_int == 404
    db.execute(sa.update(User).where(User.user_id == owner.user.user_id).values(state="banned"))
    assert written(client, reviewee_id=owner.user.user_id).status_int == 404


def test_a_retry_with_a_key_writes_once(db: Session, people: People) -> None:
    client, listing = people.customer(), make_listing(db, make_user(db))
    body = {"listing_id": listing.listing_id, "rating": 5, "comment": "Fine."}
    first, again = (client.post(REVIEWS, body, Idempotency_Key="review-1") for _ in range(2))
    assert (first.status_int, again.status_int, again.json) == (201, 201, first.json)


def test_one_reply(db: Session, people: People) -> None:
    owner = people.customer()
    review = make_review(db, make_user(db), listing=make_listing(db, owner.user))
    path = f"{REVIEWS}/{review.review_id}"
    form = owner.forms(path)["_templates"]["reply"]
    stale = owner.post(form["target"], {"reply": "Thanks."}, If_Match='"9.x"')
    assert (stale.status_int, stale.json["current"]["reply"]) == (412, None)
    answer = owner.post(form["target"], {"reply": "Thanks."})
    assert (answer.status_int, answer.json["reply"]) == (200, "Thanks.")
    assert "reply" not in owner.forms(path)["_templates"]
    again = owner.post(form["target"], {"reply": "And more."})
    assert (again.status_int, again.json["code"], again.json["state"]) == (409, "wrong_state", "replied")
    assert people.admin().post(form["target"], {"reply": "Hm."}).status_int == 403


def test_moderators_edit_and_delete_with_a_reason(db: Session, people: People) -> None:
    author, moderator, nobody = people.customer(), people.moderator(), people.anonymous()
    listing = make_listing(db, make_user(db))
    review = make_review(db, author.user, listing=listing, rating=1)
    path = f"{REVIEWS}/{review.review_id}"
    assert ("reason", "required") in errors(moderator.patch(path, {"comment": "Poor."}))
    edited = moderator.patch(path, {"comment": "Poor.", **REASON})
    assert (edited.json["comment"], edited.json["rating"], edited.json["is_moderated"]) == ("Poor.", 1, True)
    assert "moderation_reason" not in nobody.get(path).json
    assert author.get(path).json["moderation_reason"] == REASON["reason"]
    assert author.patch(path, {"comment": "Mine.", **REASON}).status_int == 403
    assert author.delete(path, REASON).status_int == 403
    assert moderator.delete(path).status_int == 400
    assert moderator.delete(path, REASON).json["message"] == "Review deleted"
    assert [nobody.get(path).status_int, author.get(path).json["status"], moderator.get(path).json["status"]] == [
        410,
        "deleted",
        "deleted",
    ]
    assert moderator.delete(path, REASON).status_int == 410
    assert nobody.get(f"/api/listings/{listing.listing_id}/reviews").json["rating_count"] == 0


def test_a_moderator_does_not_decide_on_their_own(db: Session, people: People) -> None:
    moderator = people.moderator()
    written_by = make_review(db, moderator.user, person=make_user(db))
    written_about = make_review(db, make_user(db), listing=make_listing(db, moderator.user))
    for review in (written_by, written_about):
        path = f"{REVIEWS}/{review.review_id}"
        assert {"edit", "delete"}.isdisjoint(moderator.forms(path)["_templates"])
        assert moderator.delete(path, REASON).status_int == 403


def test_reviews_follow_their_listing_out_of_sight(db: Session, people: People) -> None:
    author, owner = people.customer(), people.customer()
    listing = make_listing(db, owner.user)
    review = make_review(db, author.user, listing=listing)
    db.execute(sa.update(Listing).where(Listing.listing_id == listing.listing_id).values(status="inactive"))
    path = f"{REVIEWS}/{review.review_id}"
    callers = (people.anonymous(), people.customer(), author, owner, people.moderator())
    assert [client.get(path).status_int for client in callers] == [404, 404, 200, 200, 200]
    assert "mkt:listing" not in author.get(path).json["_links"]
    listed = [client.get(f"/api/listings/{listing.listing_id}/reviews").status_int for client in callers]
    assert listed == [404, 404, 404, 200, 200]


def test_the_name_goes_with_the_account(db: Session, people: People) -> None:
    author, listing = make_user(db), make_listing(db, make_user(db))
    review = make_review(db, author, listing=listing)
    path = f"{REVIEWS}/{review.review_id}?embed=reviewer"
    nobody = people.anonymous()
    assert nobody.get(path).json["reviewer"]["username"] == author.username
    db.execute(
        sa.update(User).where(User.user_id == author.user_id).values(state="deactivated", deactivated_at=sa.func.now())
    )
    answer = nobody.get(path).json
    assert (answer["reviewer_username"], "reviewer" in answer, "author" in answer["_links"]) == (None, False, False)


def test_the_latest_inside_the_listing(db: Session, people: People) -> None:
    listing = make_listing(db, make_user(db))
    made = [make_review(db, make_user(db), listing=listing).review_id for _ in range(4)]
    found = people.anonymous().get(f"/api/listings/{listing.listing_id}?embed=reviews").json["reviews"]
    assert [item["review_id"] for item in found] == made[:0:-1]


@pytest.mark.parametrize("role", ["anonymous", "customer", "moderator"])
def test_a_page_costs_the_same_whatever_is_on_it(role: str, db: Session, people: People) -> None:
    listing, client = make_listing(db, make_user(db)), getattr(people, role)()
    path = f"/api/listings/{listing.listing_id}/reviews?limit=50&embed=reviewer"

    def count() -> int:
        with recorded() as found:
            assert client.get(path, Accept="application/prs.hal-forms+json").status_int == 200
        return len(found)

    make_review(db, make_user(db), listing=listing)
    few = count()
    for _ in range(9):
        make_review(db, make_user(db), listing=listing)
    assert count() == few


def test_the_index_leads_to_a_page(db: Session, people: People) -> None:
    """However many reviews there are elsewhere or before, a page of them reads no more than its own."""
    listing = make_listing(db, make_user(db))
    for _ in range(3):
        make_review(db, make_user(db), listing=listing)
    db.execute(sa.text("SET LOCAL enable_seqscan = off"))
    plan = "\n".join(
        db.execute(
            sa.text(
                f"EXPLAIN SELECT review_id FROM reviews WHERE listing_id = {listing.listing_id} AND review_id < 100000 "
                "AND deleted_at IS NULL ORDER BY review_id DESC LIMIT 10"
            )
        ).scalars()
    )
    assert "ix_reviews_listing_id" in plan
    assert "Sort" not in plan


ROLES = (
    "anonymous",
    "customer",
    "suspended",
    "author",
    "moderating_author",
    "reviewed",
    "moderating_reviewed",
    "moderator",
    "admin",
)
OPERATIONS = {
    "reply": ("POST", "/reply", {"reply": "Thank you."}),
    "edit": ("PATCH", "", {"comment": "Poor.", **REASON}),
    "delete": ("DELETE", "", REASON),
}


@pytest.mark.parametrize("state", ["fresh", "replied", "deleted", "hidden"])
@pytest.mark.parametrize("role", ROLES)
def test_a_review_offers_what_it_allows_and_refuses_the_rest(
    role: str, state: str, databases: Any, db: Session, people: People
) -> None:
    author = make_user(db, roles=["moderator"] if role == "moderating_author" else [])
    reviewed = make_user(db, roles=["moderator"] if role == "moderating_reviewed" else [])
    listing = make_listing(db, reviewed)
    review = make_review(db, author, listing=listing)
    _bring_to(db, review, state)
    who = author if role.endswith("author") else reviewed if role.endswith("reviewed") else None
    client = people.client_for(who) if who is not None else getattr(people, role)()
    path = f"{REVIEWS}/{review.review_id}"
    page = client.get(path, Accept="application/prs.hal-forms+json")
    shown = page.json["_templates"] if page.status_int == 200 else {}
    assert "default" not in shown or len(shown) == 2
    for name, (method, suffix, body) in OPERATIONS.items():
        savepoint = databases.connection.begin_nested()
        answer = client.request(method, path + suffix, body)
        savepoint.rollback()
        if name in shown:
            assert answer.status_int == 200, f"{role} shown {name}: {answer.text}"
        else:
            assert answer.status_int in (401, 403, 404, 409, 410), f"{role} not shown {name}: {answer.text}"


def _bring_to(db: Session, review: Any, state: str) -> None:
    values = {
        "replied": "UPDATE reviews SET reply = 'Thanks.', date_replied = now() WHERE review_id = :id",
        "deleted": "UPDATE reviews SET deleted_at = now(), moderation_reason = 'Spam.' WHERE review_id = :id",
        "hidden": "UPDATE listings SET status = 'inactive' FROM reviews "
        "WHERE reviews.listing_id = listings.listing_id AND review_id = :id",
    }
    if state in values:
        db.execute(sa.text(values[state]), {"id": review.review_id})
        db.commit()


@pytest.mark.parametrize("status", ["active", "sold", "draft", "deleted"])
@pytest.mark.parametrize("role", ["anonymous", "customer", "suspended", "moderator", "owner", "reviewer"])
def test_a_listing_offers_review_and_bookmark_as_they_are_allowed(
    role: str, status: str, databases: Any, db: Session, people: People
) -> None:
    owner, reviewer = make_user(db), make_user(db)
    listing = make_listing(db, owner)
    make_review(db, reviewer, listing=listing)
    values = {"deleted_at": sa.func.now()} if status == "deleted" else {"status": status}
    db.execute(sa.update(Listing).where(Listing.listing_id == listing.listing_id).values(values))
    db.commit()
    who = {"owner": owner, "reviewer": reviewer}.get(role)
    client = people.client_for(who) if who is not None else getattr(people, role)()
    page = client.get(f"/api/listings/{listing.listing_id}", Accept="application/prs.hal-forms+json")
    shown = page.json["_templates"] if page.status_int == 200 else {}
    tried = {
        "review": (REVIEWS, {"listing_id": listing.listing_id, "rating": 3, "comment": "Fair."}),
        "bookmark": ("/api/users/me/bookmarks", {"listing_id": listing.listing_id}),
    }
    for name, (path, body) in tried.items():
        savepoint = databases.connection.begin_nested()
        answer = client.post(path, body)
        savepoint.rollback()
        expected = (201,) if name in shown else (401, 403, 404, 409, 410)
        assert answer.status_int in expected, f"{role} at a {status} listing, {name} {name in shown}: {answer.text}"
