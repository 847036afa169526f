"""Conversations: sending, reading, keeping, blocking, leaving."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.domain.community.conversations import blocks, policy, queries, reading
from marketplace_api.domain.community.conversations import inbox as conversation_inbox
from marketplace_api.domain.community.conversations import send as conversation_send
from marketplace_api.domain.kernel.paging import PageRequest
from marketplace_api.domain.privacy import erasure
from marketplace_api.domain.privacy import export as privacy_export
from marketplace_api.models.community.conversations import Block, Conversation, ConversationSide, Message
from marketplace_api.models.identity.accounts import User
from marketplace_api.models.kernel.events import Event
from tests.factories.accounts import make_user
from tests.factories.conversations import actor_of, block, send
from tests.factories.listings import make_listing
from tests.unit.domain.community.conversations_world import contents, inbox, listed, true_unread
from tests.unit.domain.identity.accounts_world import OPERATOR, RULES, refusal


@pytest.fixture
def two(db: Session) -> tuple[User, User]:
    return make_user(db), make_user(db)


def test_either_direction_is_one_conversation(db: Session, two: tuple[User, User]) -> None:
    anna, ben = two
    first, second = send(db, ben, anna, "Hello"), send(db, anna, ben, "Hello yourself")
    third = conversation_send.send(db, actor_of(ben), content="How are you?", conversation_id=first.conversation_id)
    assert first.conversation_id == second.conversation_id == third.conversation_id
    found = db.execute(sa.select(Conversation)).scalar_one()
    assert (found.participant1_id, found.participant2_id) == (anna.user_id, ben.user_id)
    assert (found.last_message_id, found.last_message_preview) == (third.message_id, "How are you?")
    assert contents(db, anna, first.conversation_id) == ["How are you?", "Hello yourself", "Hello"]


def test_the_event_has_ids_and_no_words(db: Session, two: tuple[User, User]) -> None:
    anna, ben = two
    listing = make_listing(db, ben)
    row = send(db, anna, ben, "A secret", listing_id=listing.listing_id)
    event = db.execute(sa.select(Event).order_by(Event.event_id.desc()).limit(1)).scalar_one()
    assert (event.type, event.subject_id, event.actor_id) == ("message.sent", row.message_id, anna.user_id)
    assert event.new == {
        "conversation_id": row.conversation_id,
        "sender_id": anna.user_id,
        "receiver_id": ben.user_id,
        "listing_id": listing.listing_id,
    }


@pytest.mark.parametrize(
    ("content", "preview"),
    [
        ("x" * 140, "x" * 140),
        ("x" * 141, "x" * 139 + "…"),
        ("First line\n\n\tsecond   line", "First line second line"),
        ("ü" * 200, "ü" * 139 + "…"),
    ],
)
def test_the_preview_is_one_line_of_140_characters(
    content: str, preview: str, db: Session, two: tuple[User, User]
) -> None:
    row = send(db, *two, content)
    assert db.get_one(Conversation, row.conversation_id).last_message_preview == preview
    assert row.content == content


def test_unread_is_counted_for_the_receiver_alone(db: Session, two: tuple[User, User]) -> None:
    anna, ben = two
    carla = make_user(db)
    conversation = send(db, anna, ben).conversation_id
    send(db, anna, ben)
    send(db, carla, ben)
    assert inbox(db, ben) == (3, 2, 0) and inbox(db, anna) == (0, 1, 0)
    row = conversation_inbox.mark_all_read(db, actor_of(ben), conversation)
    assert row.unread_count == 0 and inbox(db, ben) == (1, 2, 0)
    assert listed(db, ben)[1] == 1 == true_unread(db, ben)


def test_single_messages_are_read_once(db: Session, two: tuple[User, User]) -> None:
    anna, ben = two
    first, second = send(db, anna, ben), send(db, anna, ben)
    for _ in range(2):
        conversation_inbox.mark_read(db, actor_of(ben), first.message_id)
        assert inbox(db, ben)[0] == 1
    conversation_inbox.mark_all_read(db, actor_of(ben), first.conversation_id)
    conversation_inbox.mark_read(db, actor_of(ben), second.message_id)
    assert inbox(db, ben)[0] == 0
    types = list(db.execute(sa.select(Event.type).where(Event.type.like("%.read")).order_by(Event.event_id)).scalars())
    assert types == ["message.read", "conversation.read"]


def test_both_see_what_was_read(db: Session, two: tuple[User, User]) -> None:
    anna, ben = two
    first, second = send(db, anna, ben), send(db, anna, ben)
    conversation_inbox.mark_read(db, actor_of(ben), second.message_id)
    for person in two:
        assert not queries.find_message(db, first.message_id, person.user_id).is_read
        assert queries.find_message(db, second.message_id, person.user_id).is_read
    conversation_inbox.mark_all_read(db, actor_of(ben), first.conversation_id)
    assert queries.find_message(db, first.message_id, anna.user_id).is_read
    answer = send(db, ben, anna)
    assert not queries.find_message(db, answer.message_id, ben.user_id).is_read


def test_what_was_deleted_unread_is_not_told_as_read(db: Session, two: tuple[User, User]) -> None:
    anna, ben = two
    row = send(db, anna, ben)
    conversation_inbox.hide(db, actor_of(ben), row.conversation_id)
    assert not queries.find_message(db, row.message_id, anna.user_id).is_read


def test_a_deleted_conversation_comes_back_with_what_is_new(db: Session, two: tuple[User, User]) -> None:
    anna, ben = two
    old = send(db, anna, ben, "Old")
    conversation_inbox.archive(db, actor_of(ben), old.conversation_id, archived=True)
    conversation_inbox.hide(db, actor_of(ben), old.conversation_id)
    assert inbox(db, ben) == (0, 0, 0) and listed(db, ben) == ([], 0)
    assert queries.find(db, old.conversation_id, ben.user_id) is None
    assert queries.find_message(db, old.message_id, ben.user_id) is None
    assert refusal(lambda: conversation_inbox.mark_read(db, actor_of(ben), old.message_id)) == "not_found"
    assert refusal(lambda: conversation_inbox.hide(db, actor_of(ben), old.conversation_id)) == "not_found"
    send(db, anna, ben, "New")
    assert listed(db, ben) == ([old.conversation_id], 1)
    assert contents(db, ben, old.conversation_id) == ["New"]
    assert contents(db, anna, old.conversation_id) == ["New", "Old"]


def test_who_deleted_it_may_go_on_writing(db: Session, two: tuple[User, User]) -> None:
    anna, ben = two
    old = send(db, anna, ben, "Old")
    conversation_inbox.hide(db, actor_of(ben), old.conversation_id)
    conversation_send.send(db, actor_of(ben), content="New", conversation_id=old.conversation_id)
    assert contents(db, ben, old.conversation_id) == ["New"] and inbox(db, ben) == (0, 1, 0)


def test_the_archive_is_a_place_of_its_own(db: Session, two: tuple[User, User]) -> None:
    anna, ben = two
    conversation = send(db, anna, ben).conversation_id
    other = send(db, make_user(db), ben).conversation_id
    conversation_inbox.archive(db, actor_of(ben), conversation, archived=True)
    assert listed(db, ben) == ([other], 2) and listed(db, ben, archived=True) == ([conversation], 2)
    assert listed(db, anna) == ([conversation], 0)
    send(db, anna, ben)
    assert listed(db, ben) == ([other], 3) and listed(db, ben, archived=True) == ([conversation], 3)
    assert refusal(lambda: conversation_inbox.archive(db, actor_of(ben), conversation, archived=True)) == "wrong_state"
    conversation_inbox.archive(db, actor_of(ben), conversation, archived=False)
    assert listed(db, ben) == ([conversation, other], 3)
    assert inbox(db, ben) == (3, 2, 0)


def test_strangers_find_nothing(db: Session, two: tuple[User, User]) -> None:
    row = send(db, *two)
    stranger = actor_of(make_user(db, roles=["admin"]))
    assert queries.find(db, row.conversation_id, stranger.user_id or 0) is None
    assert queries.find_message(db, row.message_id, stranger.user_id or 0) is None
    for attempt in (
        lambda: conversation_inbox.mark_all_read(db, stranger, row.conversation_id),
        lambda: conversation_inbox.archive(db, stranger, row.conversation_id, archived=True),
        lambda: conversation_inbox.hide(db, stranger, row.conversation_id),
        lambda: conversation_inbox.mark_read(db, stranger, row.message_id),
        lambda: conversation_send.send(db, stranger, content="Let me in", conversation_id=row.conversation_id),
    ):
        assert refusal(attempt) == "not_found"
    assert refusal(lambda: conversation_inbox.mark_read(db, actor_of(two[0]), row.message_id)) == "forbidden"


def test_a_block_keeps_messages_away_and_nothing_is_lost(db: Session, two: tuple[User, User]) -> None:
    anna, ben = two
    conversation = send(db, anna, ben, "Before").conversation_id
    found, was_there = blocks.add(db, actor_of(ben), anna.user_id)
    assert (found.blocked_id, found.username, was_there) == (anna.user_id, anna.username, False)
    assert blocks.add(db, actor_of(ben), anna.user_id)[1]
    assert policy.reachable(db, actor_of(anna), [ben.user_id]) == frozenset()
    assert policy.reachable(db, actor_of(ben), [anna.user_id]) == frozenset()
    assert (
        refusal(lambda: conversation_send.send(db, actor_of(anna), content="Hey", receiver_id=ben.user_id)) == "blocked"
    )
    assert (
        refusal(lambda: conversation_send.send(db, actor_of(anna), content="Hey", conversation_id=conversation))
        == "blocked"
    )
    # Whom one has blocked could not answer.
    for where in ({"receiver_id": anna.user_id}, {"conversation_id": conversation}):
        sending = partial(conversation_send.send, db, actor_of(ben), content="I can", **where)
        assert refusal(sending) == "blocked_by_you"
    assert contents(db, anna, conversation) == ["Before"]
    blocks.remove(db, actor_of(ben), anna.user_id)
    assert policy.reachable(db, actor_of(ben), [anna.user_id]) == {anna.user_id}
    send(db, ben, anna, "I can")
    assert refusal(lambda: blocks.remove(db, actor_of(ben), anna.user_id)) == "not_found"
    send(db, anna, ben, "Thanks")
    types = list(db.execute(sa.select(Event.type).where(Event.type.like("block.%")).order_by(Event.event_id)).scalars())
    assert types == ["block.added", "block.removed"]


@pytest.mark.parametrize(
    ("state", "by_person", "in_conversation"),
    [
        ("deactivated", "recipient_gone", "recipient_gone"),
        ("erased", "recipient_gone", "recipient_gone"),
        ("banned", "recipient_gone", "recipient_gone"),
    ],
)
def test_who_is_gone_gets_nothing(
    state: str, by_person: str, in_conversation: str, db: Session, two: tuple[User, User]
) -> None:
    anna, ben = two
    row = send(db, anna, ben, "Before")
    deactivated = sa.func.now() if state == "deactivated" else None
    db.execute(sa.update(User).where(User.user_id == ben.user_id).values(state=state, deactivated_at=deactivated))
    sender = actor_of(anna)
    assert refusal(lambda: conversation_send.send(db, sender, content="Hello?", receiver_id=ben.user_id)) == by_person
    assert (
        refusal(lambda: conversation_send.send(db, sender, content="Hello?", conversation_id=row.conversation_id))
        == in_conversation
    )
    assert contents(db, anna, row.conversation_id) == ["Before"]
    found = queries.find(db, row.conversation_id, anna.user_id)
    assert (found.other_username, found.other_picture_url) == (None, None)


def test_nobody_learns_of_a_ban_by_writing(db: Session, two: tuple[User, User]) -> None:
    banned = make_user(db, state="banned")
    for receiver in (banned.user_id, 10**15):
        writing = partial(conversation_send.send, db, actor_of(two[0]), content="Hi", receiver_id=receiver)
        assert refusal(writing) == "not_found"
    assert db.execute(sa.select(sa.func.count()).select_from(Conversation)).scalar_one() == 0


def test_oneself_is_no_counterpart(db: Session, two: tuple[User, User]) -> None:
    anna = actor_of(two[0])
    assert (
        refusal(lambda: conversation_send.send(db, anna, content="Note", receiver_id=anna.user_id))
        == "message_to_oneself"
    )
    assert refusal(lambda: blocks.add(db, anna, anna.user_id or 0)) == "block_of_oneself"


def test_only_what_the_sender_may_open_is_mentioned(db: Session, two: tuple[User, User]) -> None:
    anna, ben = two
    draft, deleted = make_listing(db, ben, status="draft"), make_listing(db, ben, deleted_at=ben.date_joined)

    def about(sender: User, receiver: User, listing_id: int) -> Any:
        return lambda: conversation_send.send(
            db, actor_of(sender), content="It?", receiver_id=receiver.user_id, listing_id=listing_id
        )

    assert refusal(about(anna, ben, draft.listing_id)) == "not_found"
    assert refusal(about(anna, ben, deleted.listing_id)) == "gone"
    row = about(ben, anna, draft.listing_id)()
    assert row.listing_is_open
    assert not queries.find_message(db, row.message_id, anna.user_id).listing_is_open


def test_lists_are_walked_by_cursor(db: Session, two: tuple[User, User]) -> None:
    anna, ben = two
    others = [make_user(db) for _ in range(5)]
    ids = [send(db, other, ben).conversation_id for other in others]
    ids.append(send(db, anna, ben, "1").conversation_id)
    page, _ = reading.conversations(db, ben.user_id, PageRequest(limit=4), archived=False)
    assert [row.conversation_id for row in page.items] == ids[:1:-1] and page.total == 6
    rest, _ = reading.conversations(db, ben.user_id, PageRequest(limit=4, cursor=page.next_cursor), archived=False)
    assert [row.conversation_id for row in rest.items] == ids[1::-1]
    back, _ = reading.conversations(db, ben.user_id, PageRequest(limit=4, cursor=rest.prev_cursor), archived=False)
    assert [row.conversation_id for row in back.items] == ids[:1:-1]
    second, _ = reading.conversations(db, ben.user_id, PageRequest(page=2, limit=4), archived=False)
    assert second.items == rest.items
    for number in range(2, 6):
        send(db, anna, ben, str(number))
    row = queries.find(db, ids[-1], ben.user_id)
    first = reading.messages(db, row, PageRequest(limit=3))
    send(db, anna, ben, "6")
    following = reading.messages(db, row, PageRequest(limit=3, cursor=first.next_cursor))
    assert [m.content for m in (*first.items, *following.items)] == ["5", "4", "3", "2", "1"]
    again = reading.messages(db, row, PageRequest(limit=3, cursor=following.prev_cursor))
    assert again.items == first.items


def test_blocks_are_listed_latest_first(db: Session, two: tuple[User, User]) -> None:
    anna = two[0]
    others = [make_user(db) for _ in range(3)]
    for days, other in enumerate(others):
        db.execute(
            sa.insert(Block).values(
                user_id=anna.user_id,
                blocked_id=other.user_id,
                date_blocked=sa.func.now() + sa.text(f"interval '{days} days'"),
            )
        )
    page = blocks.list_page(db, anna.user_id, PageRequest(limit=2))
    assert [row.blocked_id for row in page.items] == [others[2].user_id, others[1].user_id] and page.total == 3
    rest = blocks.list_page(db, anna.user_id, PageRequest(limit=2, cursor=page.next_cursor))
    assert [row.blocked_id for row in rest.items] == [others[0].user_id]
    assert blocks.list_page(db, anna.user_id, PageRequest(limit=2, cursor=rest.prev_cursor)).items == page.items


# Leaving.


def test_the_export_has_messages_and_blocks(db: Session, two: tuple[User, User]) -> None:
    anna, ben = two
    sent, got = send(db, anna, ben, "Mine"), send(db, ben, anna, "Yours")
    block(db, anna, ben)
    data = privacy_export.collect(db, anna.user_id)
    assert [(m["message_id"], m["content"]) for m in data["messages_sent"]] == [(sent.message_id, "Mine")]
    assert [(m["message_id"], m["sender_id"]) for m in data["messages_received"]] == [(got.message_id, ben.user_id)]
    assert [c["conversation_id"] for c in data["conversations"]] == [sent.conversation_id]
    assert [b["blocked_id"] for b in data["blocks"]] == [ben.user_id]
    assert privacy_export.collect(db, ben.user_id)["blocks"] == []


def test_messages_outlive_one_of_the_two(db: Session, two: tuple[User, User]) -> None:
    anna, ben = two
    row = send(db, anna, ben, "Keep this")
    block(db, anna, ben)
    erasure.erase_account(db, RULES, anna, OPERATOR)
    db.flush()
    assert contents(db, ben, row.conversation_id) == ["Keep this"]
    assert queries.find(db, row.conversation_id, ben.user_id).other_username is None
    assert db.execute(sa.select(sa.func.count()).select_from(Block)).scalar_one() == 0
    erasure.erase_account(db, RULES, ben, OPERATOR)
    for table in (Conversation, ConversationSide, Message):
        assert db.execute(sa.select(sa.func.count()).select_from(table)).scalar_one() == 0
    assert inbox(db, ben) == (0, 0, 0) == inbox(db, anna)
