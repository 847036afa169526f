"""What the database itself holds about conversations, whoever writes to it, and the counts that it keeps."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from marketplace_api.domain.community.conversations import inbox as conversation_inbox
from marketplace_api.domain.community.conversations import queries
from tests.factories.accounts import make_user
from tests.factories.conversations import actor_of, block, send
from tests.unit.domain.community.conversations_world import inbox, true_inbox, true_unread

MESSAGE = "INSERT INTO messages (conversation_id, sender_id, receiver_id, content) VALUES"
SIDE = "INSERT INTO conversation_sides (conversation_id, user_id, other_id) VALUES"
PAIR = "INSERT INTO conversations (participant1_id, participant2_id) VALUES"

WRONG = {
    "sides in the wrong order": ("ck_conversations_participants", f"{PAIR} (:ben, :anna)"),
    "a conversation with oneself": ("ck_conversations_participants", f"{PAIR} (:anna, :anna)"),
    "a second conversation": ("uq_conversations_participant1_id_participant2_id", f"{PAIR} (:anna, :ben)"),
    "a third side": ("fk_conversation_sides_conversation", f"{SIDE} (:conversation, :carla, :anna)"),
    "a message of a stranger's": ("fk_messages_sender_id", f"{MESSAGE} (:conversation, :carla, :anna, 'x')"),
    "a message to a stranger": ("fk_messages_receiver_id", f"{MESSAGE} (:conversation, :anna, :carla, 'x')"),
    "a message to oneself": ("ck_messages_not_to_oneself", f"{MESSAGE} (:conversation, :anna, :anna, 'x')"),
    "an empty message": ("ck_messages_content", f"{MESSAGE} (:conversation, :anna, :ben, '')"),
    "a message too long": ("ck_messages_content", f"{MESSAGE} (:conversation, :anna, :ben, repeat('x', 5001))"),
    "a message to who has blocked": ("ck_messages_not_blocked", f"{MESSAGE} (:conversation, :ben, :anna, 'x')"),
    "less than nothing unread": (
        "ck_conversation_sides_unread_count",
        "UPDATE conversation_sides SET unread_count = -1",
    ),
    "more unread than there is": (
        "ck_conversation_sides_unread_count",
        "UPDATE conversation_sides SET unread_count = message_count + 1",
    ),
    "more read than there is": (
        "ck_conversation_sides_through",
        "UPDATE conversation_sides SET read_through = last_message_id + 1",
    ),
    "an inbox below zero": ("ck_inboxes_counts", "UPDATE inboxes SET unread_count = -1"),
    "a last message of another conversation": (
        "fk_conversations_last_message",
        "UPDATE conversations SET last_message_id = :foreign WHERE conversation_id = :conversation",
    ),
    "a block of oneself": ("ck_blocks_not_oneself", "INSERT INTO blocks (user_id, blocked_id) VALUES (:anna, :anna)"),
    "an account deleted under its messages": (
        "fk_conversations_participant1_id",
        "DELETE FROM users WHERE user_id = :anna",
    ),
}


@pytest.mark.parametrize(("constraint", "statement"), WRONG.values(), ids=WRONG.keys())
def test_the_database_refuses(constraint: str, statement: str, db: Session) -> None:
    anna, ben, carla = (make_user(db) for _ in range(3))
    conversation = send(db, anna, ben).conversation_id
    foreign = send(db, ben, carla).message_id
    block(db, anna, ben)
    ids = {"anna": anna.user_id, "ben": ben.user_id, "carla": carla.user_id}
    values = {**ids, "conversation": conversation, "foreign": foreign}
    with pytest.raises(IntegrityError) as caught, db.begin_nested():
        db.execute(sa.text("SET LOCAL ROLE NONE"))  # the owner's rights, to come as far as the constraint
        db.execute(sa.text(statement), {name: value for name, value in values.items() if f":{name}" in statement})
    assert caught.value.orig.diag.constraint_name == constraint  # type: ignore[union-attr]


def test_the_counts_are_right_whatever_happens(db: Session) -> None:
    people = [make_user(db) for _ in range(4)]
    steps = 0
    for number in range(60):
        sender, receiver = people[number % 4], people[(number * 7 + number // 4 + 1) % 4]
        if sender is receiver:
            continue
        row = send(db, sender, receiver, str(number))
        act, actor = number % 5, actor_of(receiver)
        if act == 1:
            conversation_inbox.mark_read(db, actor, row.message_id)
        elif act == 2:
            conversation_inbox.mark_all_read(db, actor, row.conversation_id)
        elif act == 3:
            conversation_inbox.hide(db, actor, row.conversation_id)
        elif act == 4:
            conversation_inbox.archive(
                db,
                actor,
                row.conversation_id,
                archived=not queries.find(db, row.conversation_id, receiver.user_id).archived,
            )
        steps += 1
        for person in people:
            assert inbox(db, person) == true_inbox(db, person)
            assert inbox(db, person)[0] == true_unread(db, person)
    assert steps > 30
