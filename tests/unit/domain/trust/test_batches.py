"""Many things at once, and back: what matches, what changes, what is kept because somebody touched it since."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database.engines import Databases
from marketplace_api.domain.catalog.listings import editing, workflow
from marketplace_api.domain.catalog.listings import queries as listing_rows
from marketplace_api.domain.community.reviews import writing
from marketplace_api.domain.identity.accounts import lifecycle
from marketplace_api.domain.kernel.actors import Actor, operator
from marketplace_api.domain.kernel.filters import parse
from marketplace_api.domain.trust.moderation import batches
from marketplace_api.domain.trust.moderation.targets import TARGETS
from marketplace_api.errors import Conflict, Forbidden, Invalid, NotFound
from marketplace_api.models.catalog.listings import Listing
from marketplace_api.models.community.reviews import Review
from marketplace_api.models.identity.accounts import AccountSession, User
from marketplace_api.models.kernel.events import Event
from tests.factories.accounts import make_user, open_session
from tests.factories.listings import make_listing
from tests.factories.reviews import actor_of, make_review, ratings

BOSS = operator("tester", request_id="run-1")
NOW = datetime.now(UTC)


def begin(db: Session, target: str, action: str, where: str, actor: Actor = BOSS, reason: str = "Spam.") -> int:
    known = TARGETS[target]
    conditions = parse(where, known.fields, NOW)
    row = batches.start(db, actor, known, action, where=where, conditions=conditions, reason=reason)
    batch_id: int = row.batch_id
    return batch_id


def run(db: Session, target: str, action: str, where: str, actor: Actor = BOSS) -> int:
    batch_id = begin(db, target, action, where, actor)
    while batches.advance(db, actor, batch_id):
        pass
    return batch_id


def undo(db: Session, batch_id: int, actor: Actor = BOSS) -> None:
    batches.begin_undo(db, actor, batch_id)
    while batches.advance_undo(db, actor, batch_id):
        pass


def matched(db: Session, target: str, where: str) -> set[Any]:
    known = TARGETS[target]
    found = batches.preview(db, BOSS, known, known.actions[0], parse(where, known.fields, NOW), size=100)
    assert found.count == len(found.sample)
    return {row[known.shown[0]] for row in found.sample}


def state_of(db: Session, listing_id: int) -> tuple[Any, ...]:
    row = listing_rows.find(db, listing_id)
    return (
        row.status,
        row.suspended_from,
        row.status_reason,
        row.is_verified_listing,
        row.review_requested_at,
        row.deleted_at,
        row.date_updated,
    )


def details(db: Session, batch_id: int) -> dict[int, tuple[str, str | None]]:
    return {row.subject_id: (row.outcome, row.detail) for row in batches.outcomes(db, batch_id)}


def test_conditions_match_what_they_say(db: Session) -> None:
    owner = make_user(db)
    cheap = make_listing(db, owner, title="FREE Money 100%", price=0, category="cars", city="Oslo").listing_id
    other = make_listing(db, owner, title="Chair", price=50, category="furniture", city=None).listing_id
    gone = make_listing(
        db, owner, title="Old", category="phones", deleted_at=NOW, date_created=NOW - timedelta(days=30)
    ).listing_id
    for where, found in (
        ("title ~ 'free money'", {cheap}),
        ("title ~ '100%'", {cheap}),
        ("title ~ '1_0'", set()),
        ("price < 1", {cheap}),
        ("category = vehicles", {cheap}),
        ("category != vehicles", {other, gone}),
        ("city = Oslo", {cheap}),
        ("city != Oslo and status != deleted", {other}),
        ("status = deleted", {gone}),
        ("created < 7d", {cheap, other}),
        ("created >= 7d", {gone}),
        ("created > 2020-01-01 and price >= 50", {other, gone}),
        (f"listing_id = {other}", {other}),
        (f"user_id = {owner.user_id} and verified = no", {cheap, other, gone}),
        ("rating < 6", set()),
        ("photos = 0 and ratings = 0", {cheap, other, gone}),
        ('title = "\'; --"', set()),
    ):
        assert matched(db, "listings", where) == found, where
    with pytest.raises(Invalid, match="did you mean 'cars'"):
        matched(db, "listings", "category = carss")


def test_accounts_and_reviews_match_too(db: Session) -> None:
    person, driver = make_user(db, username="spam.bot"), make_user(db, roles=["driver"], state="suspended")
    listing = make_listing(db, driver)
    bad = make_review(db, person, listing=listing, rating=1, comment="Visit my site")
    assert matched(db, "users", "username ~ SPAM") == {person.user_id}
    assert matched(db, "users", "role = driver and state = suspended") == {driver.user_id}
    assert matched(db, "users", f"role != driver and user_id >= {person.user_id}") == {person.user_id}
    assert matched(db, "users", "last_login < 7d") == set()
    assert matched(db, "reviews", "rating <= 2 and comment ~ site and posted < 1h") == {bad.review_id}
    assert matched(db, "reviews", f"listing_id = {listing.listing_id} and reply = x") == set()


def test_listings_are_suspended_and_put_back(db: Session) -> None:
    owner = make_user(db)
    made = [
        make_listing(db, owner, **values).listing_id
        for values in (
            {},
            {"status": "draft"},
            {"status": "sold"},
            {"is_verified_listing": True},
            {"status": "pending_verification", "review_requested_at": NOW},
        )
    ]
    gone = make_listing(db, owner, deleted_at=NOW).listing_id
    before = {listing_id: state_of(db, listing_id) for listing_id in (*made, gone)}
    batch_id = run(db, "listings", "suspend", f"user_id = {owner.user_id}")
    assert {listing_rows.find(db, listing_id).status for listing_id in made} == {"suspended"}
    assert {listing_rows.find(db, listing_id).status_reason for listing_id in made} == {"Spam."}
    assert details(db, batch_id)[gone] == ("skipped", "It is deleted.")
    assert batches.counts(db, batch_id) == {"changed": 5, "skipped": 1}
    assert (batches.find(db, batch_id).state, batches.find(db, batch_id).matched) == ("done", 6)
    undo(db, batch_id)
    assert {listing_id: state_of(db, listing_id) for listing_id in (*made, gone)} == before
    assert batches.counts(db, batch_id) == {"restored": 5, "skipped": 1}
    assert batches.find(db, batch_id).state == "undone"
    with pytest.raises(Conflict, match="is undone"):
        batches.begin_undo(db, BOSS, batch_id)


def test_what_changed_since_is_kept_and_named(db: Session) -> None:
    owner = make_user(db)
    kept, back = make_listing(db, owner).listing_id, make_listing(db, owner).listing_id
    batch_id = run(db, "listings", "delete", f"user_id = {owner.user_id}")
    editing.restore(db, BOSS, kept)
    editing.edit(db, BOSS, kept, changes={"title": "Another"})
    undo(db, batch_id)
    assert details(db, batch_id) == {kept: ("kept", "It has changed since."), back: ("restored", None)}
    assert listing_rows.find(db, back).deleted_at is None
    assert listing_rows.find(db, kept).title == "Another"


@pytest.mark.parametrize(
    ("action", "values", "status"),
    [
        ("suspend", {}, "suspended"),
        ("reinstate", {"status": "suspended"}, "active"),
        ("verify", {"status": "pending_verification", "review_requested_at": NOW}, "active"),
        ("reject", {"status": "pending_verification", "review_requested_at": NOW}, "rejected"),
        ("delete", {}, "active"),
        ("restore", {"deleted_at": NOW}, "active"),
    ],
)
def test_each_action_leaves_what_the_single_one_does(
    db: Session, action: str, values: dict[str, Any], status: str
) -> None:
    owner = make_user(db)
    many, single = make_listing(db, owner, **values), make_listing(db, owner, **values)
    batch_id = run(db, "listings", action, f"listing_id = {many.listing_id}")
    if action == "delete":
        editing.delete(db, BOSS, single.listing_id)
    elif action == "restore":
        editing.restore(db, BOSS, single.listing_id)
    else:
        workflow.take(db, BOSS, single.listing_id, action, reason="Spam.")
    db.commit()
    one, other = listing_rows.find(db, many.listing_id), listing_rows.find(db, single.listing_id)
    named = ("status", "suspended_from", "status_reason", "is_verified_listing", "version", "is_public")
    assert [getattr(one, name) for name in named] == [getattr(other, name) for name in named]
    assert one.status == status
    assert (one.deleted_at is None) == (other.deleted_at is None)
    assert (one.review_requested_at is None) == (other.review_requested_at is None)
    types = sa.select(Event.type).where(Event.subject_type == "listing").order_by(Event.event_id)
    assert len(set(db.execute(types).scalars())) == 1, "the same event"
    undo(db, batch_id)
    assert state_of(db, many.listing_id)[:6] == (*state_of_row(many),)


def state_of_row(row: Any) -> tuple[Any, ...]:
    return (
        row.status,
        row.suspended_from,
        row.status_reason,
        row.is_verified_listing,
        row.review_requested_at,
        row.deleted_at,
    )


def test_every_change_is_in_the_log(db: Session) -> None:
    owner = make_user(db)
    listing_id = make_listing(db, owner).listing_id
    batch_id = run(db, "listings", "suspend", f"user_id = {owner.user_id}")
    undo(db, batch_id)
    told = db.execute(sa.select(Event).where(Event.subject_id == listing_id, Event.subject_type == "listing"))
    suspended, restored = told.scalars().all()
    assert (suspended.type, suspended.reason, suspended.actor_name) == ("listing.status_changed", "Spam.", "tester")
    assert (suspended.previous["status"], suspended.new["status"]) == ("active", "suspended")
    assert (restored.previous["status"], restored.new["status"]) == ("suspended", "active")
    assert {suspended.request_id, restored.request_id} == {"run-1"}
    types = db.execute(sa.select(Event.type).where(Event.subject_type == "batch").order_by(Event.event_id)).scalars()
    assert list(types) == [
        "batch.started",
        "batch.progressed",
        "batch.finished",
        "batch.undo_started",
        "batch.progressed",
        "batch.undone",
    ]


def test_accounts_are_banned_and_put_back(db: Session) -> None:
    bad, admin = make_user(db, username="bad.one"), make_user(db, username="bad.admin", roles=["admin"])
    late = make_user(db, username="bad.already", state="suspended", state_reason="Before.", suspended_until=None)
    listing = make_listing(db, bad)
    held = open_session(db, bad)
    moderator = actor_of(make_user(db, roles=["moderator"]))
    batch_id = run(db, "users", "ban", "username ~ bad.", moderator)
    db.expire_all()
    assert (bad.state, bad.state_reason, late.state, admin.state) == ("banned", "Spam.", "banned", "active")
    assert details(db, batch_id)[admin.user_id] == ("skipped", "This account has as much power as yours.")
    assert not listing_rows.find(db, listing.listing_id).is_public
    undo(db, batch_id, moderator)
    db.expire_all()
    assert (bad.state, bad.state_reason) == ("active", None)
    assert (late.state, late.state_reason, late.suspended_until) == ("suspended", "Before.", None)
    assert listing_rows.find(db, listing.listing_id).is_public
    assert db.get_one(AccountSession, held.session_id).ended_at is not None, "log-ins do not come back"


def test_an_account_that_was_judged_again_is_kept(db: Session) -> None:
    user = make_user(db, username="again")
    batch_id = run(db, "users", "suspend", "username = again")
    lifecycle.ban(db, BOSS, user.user_id, reason="Worse.")
    undo(db, batch_id)
    assert details(db, batch_id) == {user.user_id: ("kept", "It has changed since.")}
    assert db.get_one(User, user.user_id).state == "banned"


def test_reviews_are_deleted_and_put_back(db: Session) -> None:
    listing = make_listing(db, make_user(db))
    author = make_user(db)
    first = make_review(db, author, listing=listing, rating=1)
    second = make_review(db, make_user(db), listing=listing, rating=1)
    batch_id = run(db, "reviews", "delete", f"listing_id = {listing.listing_id} and rating = 1")
    assert ratings(db, "listings", "listing_id", listing.listing_id)[0] == 0
    writing.post(db, actor_of(author), rating=5, comment="Better now.", listing_id=listing.listing_id)
    undo(db, batch_id)
    outcomes = details(db, batch_id)
    assert outcomes[first.review_id] == ("kept", "Its author has written another one since.")
    assert outcomes[second.review_id] == ("restored", None)
    assert ratings(db, "listings", "listing_id", listing.listing_id)[:2] == (2, 6)
    assert db.get_one(Review, second.review_id, populate_existing=True).moderation_reason is None


def test_who_may_and_what_is_asked_for(db: Session) -> None:
    customer, moderator = actor_of(make_user(db)), make_user(db, roles=["moderator"])
    own = make_listing(db, moderator).listing_id
    with pytest.raises(Forbidden):
        begin(db, "listings", "suspend", "price < 1", customer)
    for reason in ("", "   ", "x" * 1001):
        with pytest.raises(Invalid, match="reason"):
            begin(db, "listings", "suspend", "price < 1", reason=reason)
    with pytest.raises(Invalid, match="know no 'ban'"):
        begin(db, "listings", "ban", "price < 1")
    batch_id = run(db, "listings", "delete", f"user_id = {moderator.user_id}", actor_of(moderator))
    assert details(db, batch_id) == {own: ("skipped", "Nobody decides on their own listing.")}
    with pytest.raises(Forbidden):
        batches.begin_undo(db, customer, batch_id)
    with pytest.raises(NotFound):
        batches.advance(db, BOSS, 10**9)


def test_a_batch_is_undone_half_way(db: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = make_user(db)
    made = [make_review(db, make_user(db), listing=make_listing(db, owner)).review_id for _ in range(52)]
    batch_id = begin(db, "reviews", "delete", f"review_id >= {made[0]}")
    assert batches.advance(db, BOSS, batch_id) == 50
    undo(db, batch_id)
    assert batches.counts(db, batch_id) == {"restored": 50, "skipped": 2}
    assert details(db, batch_id)[made[-1]] == ("skipped", "The batch was undone before it came to this.")
    with pytest.raises(Conflict, match="is undone"):
        batches.advance(db, BOSS, batch_id)


# At once: real connections, real commits.


def at_once(databases: Databases, works: Sequence[Any]) -> list[Any]:
    results: list[Any] = []

    def work(one: Any) -> None:
        try:
            with databases.session() as session:
                results.append(one(session))
        except Conflict as error:
            results.append(error.detail)

    threads = [threading.Thread(target=work, args=(one,)) for one in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_two_that_carry_out_one_batch_share_it(committed_databases: Databases) -> None:
    with committed_databases.session() as session:
        owner = make_user(session)
        for _ in range(2_500):
            session.add(
                Listing(user_id=owner.user_id, title="Spam", category="cars", price=1, photos_urls=[], amenities=[])
            )
        session.flush()
        batch_id = begin(session, "listings", "suspend", f"user_id = {owner.user_id}")
        session.commit()

    def carry_out(session: Session) -> int:
        total = 0
        try:
            while some := batches.advance(session, BOSS, batch_id):
                session.commit()
                total += some
        except Conflict:
            return total  # the other one was the last
        session.commit()
        return total

    assert sum(at_once(committed_databases, [carry_out, carry_out])) == 2_500
    with committed_databases.session() as session:
        assert batches.counts(session, batch_id) == {"changed": 2_500}
        assert batches.find(session, batch_id).state == "done"
        events = sa.select(sa.func.count()).where(Event.type == "listing.status_changed")
        assert session.scalar(events) == 2_500


def test_an_edit_beside_a_batch_is_never_lost(committed_databases: Databases) -> None:
    with committed_databases.session() as session:
        owner = make_user(session)
        ids = [make_listing(session, owner).listing_id for _ in range(20)]
        batch_id = begin(session, "listings", "delete", f"user_id = {owner.user_id}")
        session.commit()
        person = actor_of(owner)

    def carry_out(session: Session) -> None:
        while batches.advance(session, BOSS, batch_id):
            session.commit()
        batches.begin_undo(session, BOSS, batch_id)
        session.commit()
        while batches.advance_undo(session, BOSS, batch_id):
            session.commit()
        session.commit()

    def edit(listing_id: int) -> Any:
        def work(session: Session) -> str:
            for _ in range(200):
                try:
                    editing.edit(session, person, listing_id, changes={"title": f"Mine {listing_id}"})
                    session.commit()
                except Exception as error:
                    session.rollback()
                    if type(error).__name__ != "Gone":
                        raise
                else:
                    return "edited"
            return "never"

        return work

    results = at_once(committed_databases, [carry_out, *(edit(listing_id) for listing_id in ids)])
    assert results.count("edited") + results.count(None) + results.count("never") == 21
    with committed_databases.session() as session:
        for listing_id in ids:
            row = listing_rows.find(session, listing_id)
            assert row.deleted_at is None
        assert set(batches.counts(session, batch_id)) <= {"restored", "kept"}
