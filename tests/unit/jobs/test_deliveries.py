"""What is sent by e-mail: for whom, when, how much at once, and what is not told any more."""

from __future__ import annotations

from datetime import UTC, time, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database.engines import driver_connection, now_of
from marketplace_api.domain.catalog.listings import editing
from marketplace_api.domain.community.conversations import inbox as conversations
from marketplace_api.domain.kernel.events import EventType
from marketplace_api.domain.outbound.notifications import deliveries as domain
from marketplace_api.domain.outbound.notifications import delivery_log, preferences
from marketplace_api.domain.outbound.notifications.create import due_channels
from marketplace_api.domain.outbound.notifications.deliveries import MOST_ATTEMPTS, Taken
from marketplace_api.errors import Unavailable
from marketplace_api.gateways.errors import PermanentDeliveryError
from marketplace_api.jobs.outbound.channels import send_due
from marketplace_api.models.identity.accounts import User
from tests.factories.accounts import make_user, open_session
from tests.factories.conversations import actor_of, block, send
from tests.factories.deliveries import Post, deliveries, send_mails, text_of
from tests.factories.listings import make_listing
from tests.factories.notifications import happen, listed, notify
from tests.factories.reviews import make_bookmark, make_review
from tests.support.postgres import as_owner
from tests.support.sql_recorder import recorded

MANY_MESSAGES = """
    SELECT pg_restore_relation_stats(
        'schemaname', 'public', 'relname', 'messages', 'relpages', 1, 'reltuples', 1000000::real
    )
"""


@pytest.fixture
def post() -> Post:
    return Post()


def choose(db: Session, user: User, **changes: Any) -> None:
    preferences.change(db, actor_of(user), changes=changes)
    db.commit()


def review(db: Session, of: User, by: User) -> Any:
    """One mail without a group."""
    made = make_review(db, by, listing=make_listing(db, of, title="Desk"))
    notify(db)
    return made


def test_each_wanted_channel_has_one_row_and_no_event_a_second(db: Session, anna: User, ben: User) -> None:
    choose(db, ben, types={"new_message": {"in_app": False, "sms": True, "web_push": False}})
    due_channels(db)
    send(db, anna, ben)
    for _ in range(3):
        notify(db)
    rows = db.execute(sa.text("SELECT channel, type, status, due_at > now() FROM deliveries ORDER BY 1")).all()
    assert [tuple(row) for row in rows] == [("email", "new_message", "due", True), ("sms", "new_message", "due", False)]
    assert listed(db, ben) == []
    assert due_channels(db) == ["sms"]  # what is not gathered is put into the queue at once
    assert due_channels(db) == []
    with pytest.raises(sa.exc.IntegrityError, match="uq_deliveries_once"), db.begin_nested():
        db.execute(
            sa.text(
                "INSERT INTO deliveries (user_id, channel, type, event_id) "
                "SELECT user_id, channel, type, event_id FROM deliveries"
            )
        )


def test_many_keepers_are_told_in_one_statement_each_by_their_choice(
    db: Session, anna: User, ben: User, post: Post
) -> None:
    desk = make_listing(db, anna, title="Desk", price=Decimal(100))
    keepers = [make_user(db) for _ in range(3)]
    for keeper in keepers:
        make_bookmark(db, keeper, desk)
    for keeper in keepers[:2]:
        choose(db, keeper, types={"bookmark_price_dropped": {"email": True, "web_push": False}})
    for price in (90, 80):
        editing.edit(db, actor_of(anna), desk.listing_id, changes={"price": Decimal(price)})
        db.commit()
    notify(db)
    assert len(deliveries(db)) == 4
    send_mails(db, post)
    assert [message["To"] for message in post.sent] == [keeper.email for keeper in keepers[:2]]
    assert all("from 90.00 to 80.00 EUR" in text and "2 times" in text for text in post.texts())


def test_messages_of_a_conversation_are_one_mail_and_none_once_they_were_read(
    db: Session, anna: User, ben: User, post: Post
) -> None:
    for _ in range(3):
        row = send(db, anna, ben)
    notify(db)
    send_mails(db, post, minutes=0)
    assert post.sent == []  # more may come, and the conversation may be read
    send_mails(db, post)
    (message,) = post.sent
    assert message["Subject"] == "Market: 3 new messages"
    assert f"https://market.example/#/conversations/{row.conversation_id}" in post.texts()[0]
    assert deliveries(db) == [("new_message", "sent", None)] * 3
    reference = db.execute(sa.text("SELECT DISTINCT provider_reference FROM deliveries WHERE status = 'sent'"))
    assert reference.scalars().all() == [message["Message-ID"]]
    send(db, anna, ben)
    notify(db)
    conversations.mark_all_read(db, actor_of(ben), row.conversation_id)
    db.commit()
    send_mails(db, post)
    assert post.sent == [] and deliveries(db)[-1] == ("new_message", "skipped", "read")


def test_a_push_tells_how_many_of_its_group_are_unread_now(db: Session, anna: User, ben: User) -> None:
    def counts(channel: str) -> list[int]:
        found = []
        now = now_of(db) + timedelta(minutes=10)
        while taken := domain.take(db, channel, now, str):
            if isinstance(taken, Taken):
                found.append(taken.message.count)
                domain.sent(db, taken.delivery_ids, None)
        db.commit()
        return found

    told = []
    for _ in range(3):
        row = send(db, anna, ben)
        notify(db)
        told.append(counts("web_push"))
    assert told == [[1], [2], [3]]
    assert counts("email") == [3], "mails add up by themselves, and repeat nothing"
    conversations.mark_all_read(db, actor_of(ben), row.conversation_id)
    send(db, anna, ben)
    notify(db)
    assert (counts("web_push"), counts("email")) == ([1], [1])


def test_an_index_leads_from_a_delivery_to_its_message(db: Session, anna: User, ben: User, post: Post) -> None:
    """Messages have policies: a condition that is not leakproof would be asked of every message that there is."""
    send(db, anna, ben)
    notify(db)
    with recorded() as statements:
        send_mails(db, post)
    (look,) = (statement for statement in statements if "JOIN messages" in statement)
    # Of a few rows each way costs the same: PostgreSQL is told that a page of them holds a million.
    with as_owner(db):
        db.execute(sa.text(MANY_MESSAGES))
    plan = driver_connection(db).execute(f"EXPLAIN {look}", {"ids": [1]}).fetchall()
    assert "Index Cond: (message_id = note.message_id)" in str(plan)


def test_quiet_hours_hold_back_all_but_what_guards_the_account(db: Session, anna: User, ben: User, post: Post) -> None:
    noon = now_of(db).replace(hour=12, minute=0, second=0, microsecond=0) + timedelta(days=1)
    # In Tokyo it is 21:00 then.
    choose(db, ben, quiet_hours={"start": time(20), "end": time(7, 30), "time_zone": "Asia/Tokyo"})
    review(db, ben, anna)
    session = open_session(db, ben)
    told = {"new_device": True, "session_id": session.session_id}
    happen(db, ben, EventType.USER_LOGGED_IN, ben.user_id, new=told)
    notify(db)
    send_mails(db, post, now=noon)
    assert [message["Subject"] for message in post.sent] == ["Market: New log-in"]
    assert len(listed(db, ben)) == 2
    (due_at,) = db.execute(sa.text("SELECT due_at FROM deliveries WHERE status = 'due' AND channel = 'email'")).one()
    assert due_at == noon.replace(hour=22, minute=30)
    post.texts()
    send_mails(db, post, now=due_at - timedelta(seconds=1))
    assert post.sent == []
    send_mails(db, post, now=due_at)
    assert post.texts()[0].startswith("anna reviewed “Desk”.")


def test_a_digest_is_one_mail_a_day_but_for_what_is_about_the_account(
    db: Session, anna: User, ben: User, post: Post
) -> None:
    made = now_of(db)
    eight = made.replace(hour=8, minute=0, second=0, microsecond=0)
    eight += timedelta(days=1) if eight <= made else timedelta()
    choose(db, ben, digest={"enabled": True, "time": time(8), "time_zone": "UTC"})
    for _ in range(2):
        send(db, anna, ben)
    review(db, ben, anna)
    happen(db, anna, EventType.VERIFICATION_APPROVED, 1, new={"user_id": ben.user_id})
    notify(db)
    send_mails(db, post, now=eight - timedelta(seconds=1))
    assert [message["Subject"] for message in post.sent] == ["Market: Identity verified"]
    post.sent.clear()
    send_mails(db, post, now=eight + timedelta(minutes=5))
    (mail,) = post.sent
    assert mail["Subject"] == "Market: Your news of the day" and mail["List-Unsubscribe"] is not None
    (text,) = post.texts()
    assert "anna sent you 2 messages." in text and "anna reviewed “Desk”." in text
    assert {status for _, status, _ in deliveries(db)} == {"sent"}


def test_what_does_not_hold_any_more_is_not_told(db: Session, anna: User, ben: User, post: Post) -> None:
    """Each person got a review; then something changed."""

    def receiver(**values: Any) -> User:
        user = make_user(db, **values)
        review(db, user, anna)
        return user

    people = {name: receiver() for name in ("unwanted", "blocked", "suspended", "gone", "account_gone", "bouncing")}
    people["unconfirmed"] = receiver(email_confirmed_at=None)
    choose(db, people["unwanted"], types={"review_received": {"email": False}})
    block(db, people["blocked"], anna)
    people["suspended"].state, people["account_gone"].state = "suspended", "banned"
    people["bouncing"].email_bounced_at = now_of(db)
    db.execute(
        sa.text(
            "UPDATE reviews SET deleted_at = now(), moderation_reason = 'x' FROM listings WHERE listings.listing_id = "
            "reviews.listing_id AND listings.user_id = :id"
        ),
        {"id": people["gone"].user_id},
    )
    db.commit()
    send_mails(db, post)
    assert post.sent == []
    for name, user in people.items():
        assert deliveries(db, user_id=user.user_id) == [("review_received", "skipped", name)]
    # What guards the account goes to an address in doubt as well.
    for name in ("bouncing", "unconfirmed"):
        session = open_session(db, people[name])
        told = {"new_device": True, "session_id": session.session_id}
        happen(db, ben, EventType.USER_LOGGED_IN, people[name].user_id, new=told)
    notify(db)
    send_mails(db, post)
    assert [message["List-Unsubscribe"] for message in post.sent] == [None, None]
    # The mail about a new password is the account's own.
    happen(db, ben, EventType.USER_PASSWORD_CHANGED, ben.user_id)
    notify(db)
    assert deliveries(db, user_id=ben.user_id) == []


def test_what_fails_is_tried_again_ever_later_and_then_given_up(db: Session, anna: User, ben: User, post: Post) -> None:
    post.trouble = Unavailable("The mail server does not answer.")
    review(db, ben, anna)
    now, waits = now_of(db), []
    for attempt in range(1, MOST_ATTEMPTS + 1):
        send_mails(db, post, now=now)
        row = db.execute(
            sa.text("SELECT status, attempts, due_at, error FROM deliveries WHERE channel = 'email'")
        ).one()
        assert (row.attempts, row.error) == (attempt, "unavailable")
        waits.append(row.due_at.astimezone(UTC) - now)
        now = row.due_at.astimezone(UTC)
    assert row.status == "failed"
    assert all(later > 3 * wait for wait, later in pairwise(waits[:4]))
    assert timedelta(minutes=1) <= waits[0] <= timedelta(seconds=75) and max(waits) <= timedelta(hours=7.5)
    # An operator has it sent after all.
    (delivery_id,) = delivery_log.failed_after(db, 0, "email")
    delivery_log.retry(db, delivery_id)
    post.trouble = None
    send_mails(db, post)
    assert len(post.sent) == 1


def test_one_that_cannot_be_sent_stops_no_other_and_a_server_that_is_away_is_left_alone(
    db: Session, anna: User, ben: User, post: Post
) -> None:
    for _ in range(5):
        review(db, ben, anna)
    post.trouble = PermanentDeliveryError("The mail server refused the message (550).")
    send_mails(db, post)
    assert deliveries(db) == [("review_received", "failed", "refused")] * 5
    for _ in range(5):
        review(db, anna, ben)
    post.trouble = Unavailable("The mail server does not answer.")
    send_mails(db, post)
    errors = [error for _, _, error in deliveries(db, user_id=anna.user_id)]
    assert errors == ["unavailable"] * 3 + [None] * 2
    post.trouble = ValueError("a mistake of ours")
    send_mails(db, post)
    assert [error for _, _, error in deliveries(db, user_id=anna.user_id)] == ["unavailable"] * 3 + ["unexpected"] * 2


def test_one_that_nobody_can_make_a_letter_of_stops_no_other(db: Session, anna: User, ben: User, post: Post) -> None:
    """As where a machine knows fewer time zones than the one that took the wish, or words miss what they tell of."""
    choose(db, anna, quiet_hours={"start": time(1), "end": time(2), "time_zone": "UTC"})
    change = "UPDATE notification_preferences SET time_zone = 'Europe/Nowhere' WHERE user_id = :id"
    db.execute(sa.text(change), {"id": anna.user_id})
    review(db, anna, ben)
    review(db, ben, anna)
    review(db, ben, anna)
    db.execute(
        sa.text(
            "UPDATE deliveries SET type = 'account_suspended', data = '{\"until\": \"never\"}' WHERE delivery_id = "
            "(SELECT min(delivery_id) FROM deliveries WHERE channel = 'email' AND user_id = :id)"
        ),
        {"id": ben.user_id},
    )
    send_mails(db, post)
    assert [message["To"] for message in post.sent] == [ben.email]
    assert deliveries(db, status="due") == [
        ("review_received", "due", "unexpected"),
        ("account_suspended", "due", "unexpected"),
    ]


def test_no_title_keeps_a_letter_from_who_it_is_for(db: Session, anna: User, ben: User, post: Post) -> None:
    """What no mail can hold is shown as such, and a title stays one."""
    for title in ("Desk", "De\x01s\x1b[2Jk\ufffe\n\nPay here:\u2028evil.example"):
        make_review(db, anna, listing=make_listing(db, ben, title=title))
    notify(db)
    choose(db, ben, digest={"enabled": True, "time": time(8), "time_zone": "UTC"})
    send_mails(db, post, now=now_of(db) + timedelta(days=2))
    (mail,) = post.sent
    assert mail["Subject"] == "Market: Your news of the day"
    shown = "anna reviewed “De\ufffds\ufffd[2Jk\ufffd Pay here: evil.example”."
    assert "anna reviewed “Desk”." in text_of(mail) and shown in text_of(mail)
    html = mail.get_body(("html",))
    assert html is not None and shown in html.get_content()


def test_a_channel_that_nobody_sends_by_skips_what_is_due(db: Session, anna: User, ben: User, post: Post) -> None:
    choose(db, ben, types={"new_message": {"sms": True}})
    send(db, anna, ben)
    notify(db)
    letters = domain.take(db, "sms", now_of(db), str)
    assert isinstance(letters, domain.Taken) and letters.message.text == "anna wrote to you."
    send_due(db, post.services, "sms", now_of(db))
    assert deliveries(db, channel="sms")[0][1] in ("skipped", "sent", "failed")


def test_what_is_long_over_is_forgotten_and_what_is_due_is_not(db: Session, anna: User, ben: User, post: Post) -> None:
    review(db, ben, anna)
    send_mails(db, post)
    review(db, ben, anna)
    db.execute(sa.text("UPDATE deliveries SET date_created = now() - interval '1 year' WHERE channel = 'email'"))
    assert delivery_log.purge(db, now_of(db) - timedelta(days=90)) == 0
    assert delivery_log.purge(db, now_of(db) + timedelta(seconds=1)) == 1
    assert deliveries(db) == [("review_received", "due", None)]
