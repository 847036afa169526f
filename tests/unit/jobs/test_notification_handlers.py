"""Who is told of what: each event once, nobody of their own doing, nothing that is not theirs to know."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.domain.catalog.listings import editing, workflow
from marketplace_api.domain.community.conversations import inbox as conversations
from marketplace_api.domain.community.reviews import writing
from marketplace_api.domain.kernel import events
from marketplace_api.domain.kernel.events import EventType
from marketplace_api.domain.outbound.notifications import create, inbox, preferences
from marketplace_api.domain.outbound.notifications.content import text_of
from marketplace_api.domain.outbound.notifications.types import KINDS
from marketplace_api.models.catalog.bookmarks import Bookmark
from marketplace_api.models.identity.accounts import User
from marketplace_api.models.kernel.events import Event
from marketplace_api.models.outbound.notifications import Notification, NotifiedEvent
from tests.factories.accounts import make_user, open_session
from tests.factories.conversations import actor_of, block, send
from tests.factories.listings import make_listing
from tests.factories.notifications import handle, happen, listed, notify, told
from tests.factories.reviews import make_bookmark, make_review


@pytest.fixture
def moderator(db: Session) -> User:
    return make_user(db, roles=["moderator"])


def last_event(db: Session) -> Event:
    return db.execute(sa.select(Event).order_by(Event.event_id.desc()).limit(1)).scalar_one()


def test_messages_of_one_conversation_are_one_notification_that_counts(db: Session, anna: User, ben: User) -> None:
    listing = make_listing(db, ben, title="Desk")
    send(db, anna, ben, listing_id=listing.listing_id)
    notify(db)
    assert told(db, ben) == [("new_message", "anna wrote to you about “Desk”.")]
    for _ in range(4):
        row = send(db, anna, ben)
    notify(db)
    (note,) = listed(db, ben)
    assert (note.count, note.data["message_id"], note.is_read) == (5, row.message_id, False)
    assert text_of(note).content == "anna sent you 5 messages."
    assert listed(db, anna) == []


def test_handlers_that_run_again_tell_nothing_new(db: Session, anna: User, ben: User) -> None:
    send(db, anna, ben)
    send(db, anna, ben)
    for _ in range(3):
        notify(db)
    (note,) = listed(db, ben)
    assert note.count == 2
    inbox.mark_read(db, actor_of(ben), note.notification_id)
    inbox.dismiss(db, actor_of(ben), note.notification_id)
    notify(db)
    assert listed(db, ben) == []


def test_after_a_notification_was_read_the_next_message_begins_another(db: Session, anna: User, ben: User) -> None:
    send(db, anna, ben)
    notify(db)
    inbox.mark_all_read(db, actor_of(ben))
    send(db, anna, ben)
    notify(db)
    assert [(note.count, note.is_read) for note in listed(db, ben)] == [(1, False), (1, True)]


def test_messages_handled_in_another_order_count_all_and_show_the_latest(db: Session, anna: User, ben: User) -> None:
    first, second = send(db, anna, ben), send(db, anna, ben)
    for event in db.execute(sa.select(Event).order_by(Event.event_id.desc())).scalars().all():
        handle(db, event)
    (note,) = listed(db, ben)
    assert (note.count, note.data["message_id"]) == (2, max(first.message_id, second.message_id))


@pytest.mark.parametrize("how", ["all", "one by one", "hidden"])
def test_reading_a_conversation_reads_its_notification(db: Session, anna: User, ben: User, how: str) -> None:
    rows = [send(db, anna, ben), send(db, anna, ben)]
    other = make_user(db)
    send(db, other, ben)
    notify(db)
    conversation = rows[0].conversation_id
    if how == "all":
        conversations.mark_all_read(db, actor_of(ben), conversation)
    elif how == "hidden":
        conversations.hide(db, actor_of(ben), conversation)
    else:
        conversations.mark_read(db, actor_of(ben), rows[0].message_id)
        assert sum(not note.is_read for note in listed(db, ben)) == 2
        conversations.mark_read(db, actor_of(ben), rows[1].message_id)
    read = {note.conversation_id: (note.is_read, note.conversation_is_open) for note in listed(db, ben)}
    assert read.pop(conversation) == (True, how != "hidden")
    assert set(read.values()) == {(False, True)}


def test_what_was_read_before_the_handler_ran_is_not_told(db: Session, anna: User, ben: User) -> None:
    one = send(db, anna, ben)
    conversations.mark_read(db, actor_of(ben), one.message_id)
    send(db, anna, ben)
    conversations.mark_all_read(db, actor_of(ben), one.conversation_id)
    send(db, anna, ben)
    conversations.hide(db, actor_of(ben), one.conversation_id)
    notify(db)
    assert listed(db, ben) == []


def test_who_was_blocked_meanwhile_is_not_told_of(db: Session, anna: User, ben: User) -> None:
    send(db, anna, ben)
    make_review(db, anna, person=ben)
    block(db, ben, anna)
    notify(db)
    assert listed(db, ben) == []


@pytest.mark.parametrize("state", ["deactivated", "banned", "erased"])
def test_who_is_gone_is_not_told_and_not_named(db: Session, anna: User, ben: User, state: str) -> None:
    send(db, anna, ben)
    notify(db)
    send(db, ben, anna)
    since = sa.func.now() if state == "deactivated" else None
    db.execute(sa.update(User).where(User.user_id == anna.user_id).values(state=state, deactivated_at=since))
    db.commit()
    notify(db)
    assert listed(db, anna) == []
    assert told(db, ben) == [("new_message", "Somebody wrote to you.")]


def test_names_are_those_of_the_moment_of_reading(db: Session, anna: User, ben: User) -> None:
    send(db, anna, ben)
    notify(db)
    anna.username = "anne"
    db.commit()
    assert told(db, ben) == [("new_message", "anne wrote to you.")]


def test_a_review_is_told_to_the_reviewed_and_its_reply_to_the_author(db: Session, anna: User, ben: User) -> None:
    listing = make_listing(db, ben, title="Desk")
    about_listing = make_review(db, anna, listing=listing)
    make_review(db, anna, person=ben)
    writing.reply(db, actor_of(ben), about_listing.review_id, "Thank you.")
    notify(db)
    assert told(db, ben) == [("review_received", "anna reviewed you."), ("review_received", "anna reviewed “Desk”.")]
    assert told(db, anna) == [("review_replied", "ben replied to your review of “Desk”.")]


def test_a_review_that_was_taken_away_names_nobody(db: Session, anna: User, ben: User, moderator: User) -> None:
    review = make_review(db, anna, person=ben)
    notify(db)
    writing.delete(db, actor_of(moderator), review.review_id, reason="Abuse.")
    assert told(db, ben) == [("review_received", "Somebody reviewed you.")]


@pytest.mark.parametrize(
    ("step", "status", "type"),
    [
        ("verify", "pending_verification", "listing_verified"),
        ("reject", "pending_verification", "listing_rejected"),
        ("suspend", "active", "listing_suspended"),
        ("reinstate", "suspended", "listing_reinstated"),
    ],
)
def test_the_owner_is_told_what_moderators_decided(
    db: Session, anna: User, moderator: User, step: str, status: str, type: str
) -> None:
    for owner in (anna, moderator):
        listing = make_listing(db, owner, status=status, title="Desk")
        workflow.take(db, actor_of(moderator), listing.listing_id, step, reason="Because.")
    notify(db)
    ((told_type, sentence),) = told(db, anna)
    assert told_type == type and sentence.startswith("“Desk”") and moderator.username not in sentence
    assert listed(db, moderator) == []


def test_a_deleted_listing_is_not_named(db: Session, anna: User, ben: User, moderator: User) -> None:
    listing = make_listing(db, anna, title="Desk")
    send(db, anna, ben, listing_id=listing.listing_id)
    workflow.take(db, actor_of(moderator), listing.listing_id, "suspend", reason="Because.")
    notify(db)
    assert [row.listing_is_open for row in (*listed(db, anna), *listed(db, ben))] == [True, False]
    editing.delete(db, actor_of(anna), listing.listing_id)
    assert "Desk" not in str(told(db, anna) + told(db, ben))
    assert not listed(db, anna)[0].listing_is_open


def edit_price(db: Session, owner: User, listing: Any, price: str, **more: Any) -> None:
    changes = {"price": Decimal(price), **more}
    editing.edit(db, actor_of(owner), listing.listing_id, changes=changes)
    db.commit()


def test_who_keeps_a_listing_is_told_that_it_costs_less(db: Session, anna: User, ben: User) -> None:
    listing = make_listing(db, ben, title="Desk", price=Decimal("100.00"))
    for keeper in (anna, ben):
        make_bookmark(db, keeper, listing)
    edit_price(db, ben, listing, "120.00")
    edit_price(db, ben, listing, "60.00", currency="USD")
    notify(db)
    assert listed(db, anna) == []
    edit_price(db, ben, listing, "55.50")
    notify(db)
    assert told(db, anna) == [("bookmark_price_dropped", "The price of “Desk” dropped from 60.00 to 55.50 USD.")]
    edit_price(db, ben, listing, "50")
    notify(db)
    (note,) = listed(db, anna)
    assert (note.count, note.data["price"], note.data["previous_price"]) == (2, "50.00", "55.50")
    assert listed(db, ben) == []


def test_nobody_is_told_the_price_of_what_is_not_public(db: Session, anna: User, ben: User) -> None:
    listing = make_listing(db, ben, price=Decimal("100.00"))
    make_bookmark(db, anna, listing)
    workflow.take(db, actor_of(ben), listing.listing_id, "deactivate")
    edit_price(db, ben, listing, "10")
    notify(db)
    assert listed(db, anna) == []


def test_who_keeps_a_listing_is_told_of_its_sale(db: Session, anna: User, ben: User, moderator: User) -> None:
    listing = make_listing(db, ben, title="Desk")
    for keeper in (anna, ben):
        make_bookmark(db, keeper, listing)
    workflow.take(db, actor_of(ben), listing.listing_id, "mark-sold")
    workflow.take(db, actor_of(moderator), listing.listing_id, "suspend", reason="Because.")
    workflow.take(db, actor_of(moderator), listing.listing_id, "reinstate")
    notify(db)
    assert told(db, anna) == [("bookmark_sold", "“Desk”, which you keep, was sold.")]
    assert [type for type, _ in told(db, ben)] == ["listing_reinstated", "listing_suspended"]


def test_many_keepers_are_told_in_batches_that_go_on_where_they_were(
    db: Session, ben: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(create, "BATCH", 10)
    listing = make_listing(db, ben)
    many = sa.text(
        "WITH made AS (INSERT INTO users (username, email) SELECT 'keeper' || n, 'keeper' || n || '@people.example' "
        "FROM generate_series(1, 35) AS n RETURNING user_id) "
        "INSERT INTO bookmarks (user_id, listing_id) SELECT user_id, :listing_id FROM made"
    )
    db.execute(many, {"listing_id": listing.listing_id})
    workflow.take(db, actor_of(ben), listing.listing_id, "mark-sold")
    event = last_event(db)
    notice = create.NewNotification(
        create.NotificationType.BOOKMARK_SOLD,
        event.event_id,
        listing_id=listing.listing_id,
        group_key=f"bookmark_sold:{listing.listing_id}",
    )
    # A job that was broken off after its second batch.
    assert [create.notify_bookmarkers(db, notice, ()) for _ in range(2)] == [True, True]
    db.commit()
    assert db.execute(sa.select(sa.func.count()).select_from(Notification)).scalar_one() == 20
    for _ in range(2):
        handle(db, event)
    found = db.execute(sa.select(Notification.user_id, Notification.count)).all()
    keepers = db.execute(sa.select(Bookmark.user_id)).scalars().all()
    assert sorted(found) == [(user_id, 1) for user_id in sorted(keepers)]


@pytest.mark.parametrize(
    ("type", "receiver"),
    [
        (EventType.VERIFICATION_APPROVED, "user_id"),
        (EventType.VERIFICATION_REJECTED, "user_id"),
        (EventType.VERIFICATION_EXPIRED, "user_id"),
        (EventType.REPORT_RESOLVED, "reporter_id"),
        (EventType.REPORT_DISMISSED, "reporter_id"),
    ],
)
def test_decisions_are_told_to_whom_they_concern(
    db: Session, anna: User, moderator: User, type: EventType, receiver: str
) -> None:
    for person in (anna, moderator):
        happen(db, moderator, type, 7, new={receiver: person.user_id})
    notify(db)
    notify(db)
    (note,) = listed(db, anna)
    assert (note.type, note.actor_id) == (type.value.replace(".", "_"), None)
    assert list(note.data.values()) == [7]
    assert listed(db, moderator) == []


def test_a_new_password_is_told_whoever_set_it(db: Session, anna: User) -> None:
    happen(db, anna, EventType.USER_PASSWORD_CHANGED, anna.user_id)
    notify(db)
    assert [type for type, _ in told(db, anna)] == ["password_changed"]


def test_a_log_in_is_told_only_of_a_new_device(db: Session, anna: User) -> None:
    opened = open_session(db, anna)
    opened.device = "Firefox"
    for is_new in (False, True):
        new = {"session_id": opened.session_id, "new_device": is_new}
        happen(db, anna, EventType.USER_LOGGED_IN, anna.user_id, new=new)
    notify(db)
    ((type, sentence),) = told(db, anna)
    assert type == "new_login" and "(Firefox)" in sentence
    db.delete(opened)
    db.commit()
    ((_, sentence),) = told(db, anna)
    assert "Firefox" not in sentence


def test_who_does_not_want_to_know_is_not_told(db: Session, anna: User, ben: User) -> None:
    changes = {"types": {"new_message": {"in_app": False}, "bookmark_sold": {"in_app": False}}}
    preferences.change(db, actor_of(ben), changes=changes)
    listing = make_listing(db, anna)
    make_bookmark(db, ben, listing)
    send(db, anna, ben)
    workflow.take(db, actor_of(anna), listing.listing_id, "mark-sold")
    notify(db)
    assert listed(db, ben) == []
    preferences.change(db, actor_of(ben), changes={"types": {"new_message": {"in_app": True}}})
    send(db, anna, ben)
    notify(db)
    assert [(note.type, note.count) for note in listed(db, ben)] == [("new_message", 1)]


def test_every_kind_has_words_for_what_is_there_and_for_what_is_gone(db: Session, anna: User) -> None:
    event_id = events.record(db, actor_of(anna), EventType.USER_EDITED, anna.user_id).event_id
    for type in KINDS:
        create.notify(
            db, anna.user_id, create.NewNotification(type, event_id, listing_id=987, review_id=987, session_id=987)
        )
    rows = listed(db, anna)
    assert {row.type for row in rows} == {type.value for type in KINDS}
    for row in rows:
        text = text_of(row)
        assert 0 < len(text.title) < 40 and text.content.endswith(".") and "None" not in text.content
    assert db.execute(sa.select(sa.func.count()).select_from(NotifiedEvent)).scalar_one() == len(KINDS)
