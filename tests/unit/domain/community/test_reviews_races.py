"""Ratings stay exact and nobody waits in a circle, whatever happens at once: real connections, real commits."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database import migrations
from marketplace_api.database.engines import Databases
from marketplace_api.domain.catalog.listings import editing
from marketplace_api.domain.catalog.listings import queries as listing_rows
from marketplace_api.domain.community.conversations import blocks, send
from marketplace_api.domain.community.reviews import writing
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.errors import Conflict, DomainError, Gone
from marketplace_api.models.community.reviews import Review
from tests.factories.accounts import make_user
from tests.factories.listings import make_listing
from tests.factories.reviews import actor_of, make_review, ratings
from tests.support.polling import until_somebody_waits
from tests.unit.domain.identity.accounts_world import at_once

Work = Callable[[Session], Any]


def posting(actor: Actor, rating: int, **target: int) -> Work:
    return lambda session: writing.post(session, actor, rating=rating, comment="Fine.", **target)


def editing_rating(actor: Actor, review_id: int, rating: int) -> Work:
    return lambda session: writing.edit(session, actor, review_id, changes={"rating": rating}, reason="Asked for.")


def deleting(actor: Actor, review_id: int) -> Work:
    return lambda session: writing.delete(session, actor, review_id, reason="Spam.")


def assert_exact(session: Session, table: str, key: str, target: int, column: Any) -> None:
    """The kept ratings are what the standing reviews come to."""
    standing = (
        session.execute(sa.select(Review.rating).where(column == target, Review.deleted_at.is_(None))).scalars().all()
    )
    histogram = [standing.count(stars) for stars in range(1, 6)]
    assert ratings(session, table, key, target) == (len(standing), sum(standing), histogram)


def test_fifty_reviews_edits_and_deletions_at_once(committed_databases: Databases) -> None:
    with committed_databases.session() as session:
        moderator, owner = make_user(session, roles=["moderator"]), make_user(session)
        listing = make_listing(session, owner)
        old = [make_review(session, make_user(session), listing=listing, rating=number % 5 + 1) for number in range(15)]
        # Some of their authors write again at the very moment that their review is deleted.
        again = [actor_of(session.get_one(type(owner), review.reviewer_id)) for review in old[:5]]
        new = [actor_of(make_user(session)) for _ in range(15)]
        session.commit()
    acting, target = actor_of(moderator), {"listing_id": listing.listing_id}
    works = [
        *(posting(author, number % 5 + 1, **target) for number, author in enumerate(new)),
        *(editing_rating(acting, review.review_id, 5 - number % 5) for number, review in enumerate(old)),
        *(deleting(acting, review.review_id) for review in old),
        *(posting(author, 3, **target) for author in again),
    ]
    assert len(works) == 50
    results = at_once(committed_databases, *works)
    failed = [result for result in results if isinstance(result, Exception)]
    assert all(isinstance(failure, (Gone, Conflict)) for failure in failed), failed
    assert [failure for failure in failed if isinstance(failure, Conflict) and failure.code != "already_reviewed"] == []
    with committed_databases.session() as session:
        assert_exact(session, "listings", "listing_id", listing.listing_id, Review.listing_id)
        row = listing_rows.find(session, listing.listing_id)
        assert (row.version, row.date_updated) == (listing.version, listing.date_updated)


def test_people_who_review_each_other_at_once(committed_databases: Databases) -> None:
    with committed_databases.session() as session:
        people = [make_user(session) for _ in range(5)]
        session.commit()
    pairs = [(a, b) for a in people for b in people if a is not b]
    results = at_once(committed_databases, *(posting(actor_of(a), 4, reviewee_id=b.user_id) for a, b in pairs))
    assert [result for result in results if isinstance(result, Exception)] == []
    with committed_databases.session() as session:
        for person in people:
            assert_exact(session, "users", "user_id", person.user_id, Review.reviewee_id)


def test_one_author_many_tries_one_review(committed_databases: Databases) -> None:
    with committed_databases.session() as session:
        author, listing = make_user(session), make_listing(session, make_user(session))
    results = at_once(committed_databases, *[posting(actor_of(author), 5, listing_id=listing.listing_id)] * 10)
    refused = [result for result in results if isinstance(result, DomainError)]
    assert [error.code for error in refused] == ["already_reviewed"] * 9
    with committed_databases.session() as session:
        assert_exact(session, "listings", "listing_id", listing.listing_id, Review.listing_id)


def test_a_reply_and_a_deletion_at_once(committed_databases: Databases) -> None:
    with committed_databases.session() as session:
        owner, moderator = make_user(session), make_user(session, roles=["moderator"])
        review = make_review(session, make_user(session), listing=make_listing(session, owner))

    def replying(session: Session) -> Any:
        return writing.reply(session, actor_of(owner), review.review_id, "Thank you.")

    results = at_once(committed_databases, *[replying] * 4, deleting(actor_of(moderator), review.review_id))
    errors = [result for result in results if isinstance(result, Exception)]
    assert all(isinstance(error, (Gone, Conflict)) for error in errors), errors
    assert len(errors) >= 3


def test_a_review_of_a_listing_deleted_meanwhile(committed_databases: Databases) -> None:
    """Who writes while the owner deletes waits for that, and is then told; nothing is half done."""
    with committed_databases.session() as session:
        owner, author = make_user(session), make_user(session)
        listing = make_listing(session, owner)
    with committed_databases.session() as session, session.begin():
        editing.delete(session, actor_of(owner), listing.listing_id)
        # The author's transaction began to look before the deletion commits.
        with committed_databases.session() as other:
            other.execute(sa.text("SET lock_timeout = '50ms'"))
            try:
                posting(actor_of(author), 5, listing_id=listing.listing_id)(other)
            except sa.exc.OperationalError as waited:
                assert "lock timeout" in str(waited)
            else:
                raise AssertionError("the review did not wait for the deletion")
    (result,) = at_once(committed_databases, posting(actor_of(author), 5, listing_id=listing.listing_id))
    assert isinstance(result, Gone)
    with committed_databases.session() as session:
        assert session.execute(sa.select(sa.func.count()).select_from(Review)).scalar_one() == 0
        assert ratings(session, "listings", "listing_id", listing.listing_id) == (0, 0, [0, 0, 0, 0, 0])


def test_going_back_before_reviews_takes_the_ratings_off(committed_databases: Databases) -> None:
    with committed_databases.session() as session:
        owner = make_user(session)
        listing = make_listing(session, owner)
        make_review(session, make_user(session), listing=listing, rating=5)
        make_review(session, make_user(session), person=owner, rating=2)
    url = committed_databases.write.url.render_as_string(hide_password=False)
    committed_databases.dispose()
    migrations.downgrade(url, "0005")
    with committed_databases.owner_session() as session:
        for table in ("listings", "users"):
            rated = sa.text(f"SELECT count(*) FROM {table} WHERE rating_count > 0 OR rating_sum > 0")
            assert session.execute(rated).scalar_one() == 0
    migrations.upgrade(url)
    with committed_databases.session() as session:
        assert ratings(session, "listings", "listing_id", listing.listing_id) == (0, 0, [0, 0, 0, 0, 0])


@pytest.mark.parametrize("target", ["listing", "person"])
def test_a_block_that_is_being_made_refuses_the_review_that_waits_for_it(
    committed_databases: Databases, target: str
) -> None:
    with committed_databases.session() as session:
        author, other = make_user(session), make_user(session)
        listing = make_listing(session, other)
        session.commit()
    what = {"listing_id": listing.listing_id} if target == "listing" else {"reviewee_id": other.user_id}
    with ThreadPoolExecutor(1) as pool, committed_databases.session() as session:
        blocks.add(session, actor_of(other), author.user_id)
        posted = pool.submit(at_once, committed_databases, posting(actor_of(author), 1, **what))
        until_somebody_waits(committed_databases)
        session.commit()
        (result,) = posted.result()
    assert isinstance(result, DomainError) and result.code == "blocked"
    with committed_databases.session() as session:
        assert session.execute(sa.select(sa.func.count()).select_from(Review)).scalar_one() == 0


def test_messages_blocks_and_reviews_between_two_never_wait_in_a_circle(committed_databases: Databases) -> None:
    with committed_databases.session() as session:
        anna, ben = make_user(session), make_user(session)
        session.commit()
    one, other = actor_of(anna), actor_of(ben)
    for _ in range(5):
        results = at_once(
            committed_databases,
            *[posting(one, 5, reviewee_id=ben.user_id), posting(other, 5, reviewee_id=anna.user_id)] * 2,
            *[lambda s: send.send(s, one, content="Hi.", receiver_id=ben.user_id)] * 3,
            *[lambda s: send.send(s, other, content="Hi.", receiver_id=anna.user_id)] * 3,
            lambda s: blocks.add(s, one, ben.user_id),
            lambda s: blocks.remove(s, one, ben.user_id),
        )
        strange = [each for each in results if isinstance(each, Exception) and not isinstance(each, DomainError)]
        assert strange == []
