"""A message that moderators take out of a conversation and bring back: what the two see, what is counted, who is told."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.config.settings import Settings
from marketplace_api.database.engines import Databases
from marketplace_api.domain.community.conversations import inbox as conversation_inbox
from marketplace_api.domain.community.conversations import queries
from marketplace_api.domain.community.conversations import send as conversation_send
from marketplace_api.domain.identity.accounts.config import AccountRules
from marketplace_api.domain.kernel.actors import operator
from marketplace_api.domain.privacy import erasure
from marketplace_api.domain.privacy import export as privacy_export
from marketplace_api.domain.trust.moderation import messages, reported_messages
from marketplace_api.domain.trust.reports import create
from marketplace_api.errors import Conflict, DomainError, Forbidden, Gone, NotFound, PreconditionFailed
from marketplace_api.models.community.conversations import REMOVED, Conversation, ConversationSide, Inbox, Message
from marketplace_api.models.identity.accounts import User
from marketplace_api.models.kernel.events import Event
from tests.factories.accounts import make_user
from tests.factories.conversations import actor_of, send
from tests.factories.notifications import notify, told
from tests.factories.reports import make_report
from tests.support import postgres
from tests.unit.domain.community.conversations_world import contents, inbox, listed, true_inbox, true_unread
from tests.unit.domain.identity.accounts_world import at_once

BOSS = operator("tester", request_id="run-1")
WHY = "Insults."


def insult(db: Session, sender: User, receiver: User, content: str = "You fool") -> Any:
    """A message that its receiver reports."""
    row = send(db, sender, receiver, content)
    make_report(db, receiver, "message", row.message_id, reason="offensive")
    return row


def remove(db: Session, message_id: int, **values: Any) -> Any:
    row = messages.remove(db, BOSS, message_id, reason=WHY, **values)
    db.commit()
    return row


def restore(db: Session, message_id: int, **values: Any) -> Any:
    row = messages.restore(db, BOSS, message_id, **values)
    db.commit()
    return row


def preview(db: Session, conversation_id: int) -> str | None:
    statement = sa.select(Conversation.last_message_preview).where(Conversation.conversation_id == conversation_id)
    return db.execute(statement).scalar()


def test_both_see_that_it_was_removed_and_only_its_sender_why(db: Session, anna: User, ben: User) -> None:
    first = send(db, anna, ben, "Hello")
    row = insult(db, anna, ben)
    remove(db, row.message_id)
    for person in (anna, ben):
        assert contents(db, person, row.conversation_id) == [REMOVED, "Hello"]
        seen = queries.find_message(db, row.message_id, person.user_id)
        assert (seen.content, seen.is_removed) == (REMOVED, True)
        assert seen.moderation_reason == (WHY if person is anna else None)
    assert preview(db, row.conversation_id) == REMOVED
    event = db.execute(sa.select(Event).where(Event.type == "message.deleted")).scalar_one()
    assert (event.subject_id, event.reason, event.actor_name) == (row.message_id, WHY, "tester")
    assert "fool" not in str(event.new)

    restore(db, row.message_id)
    assert contents(db, ben, row.conversation_id) == ["You fool", "Hello"]
    assert preview(db, row.conversation_id) == "You fool"
    assert queries.find_message(db, first.message_id, ben.user_id).version == 1


def test_what_was_unread_is_so_again_when_it_comes_back(db: Session, anna: User, ben: User) -> None:
    row = insult(db, anna, ben)
    send(db, anna, ben, "Sorry")
    assert inbox(db, ben) == (2, 1, 0)
    remove(db, row.message_id)
    assert inbox(db, ben) == true_inbox(db, ben) == (1, 1, 0)
    assert true_unread(db, ben) == 1
    assert preview(db, row.conversation_id) == "Sorry", "it was not the last one"
    conversation_inbox.mark_read(db, actor_of(ben), row.message_id)
    assert inbox(db, ben) == (1, 1, 0), "nobody reads what is not there"
    restore(db, row.message_id)
    assert inbox(db, ben)[0] == true_unread(db, ben) == 2


@pytest.mark.parametrize("meanwhile", ["read before", "all read", "hidden"])
def test_what_was_read_or_hidden_does_not_come_back_as_unread(
    db: Session, anna: User, ben: User, meanwhile: str
) -> None:
    row = insult(db, anna, ben)
    if meanwhile == "read before":
        conversation_inbox.mark_read(db, actor_of(ben), row.message_id)
    remove(db, row.message_id)
    if meanwhile == "all read":
        send(db, anna, ben, "Sorry")
        conversation_inbox.mark_all_read(db, actor_of(ben), row.conversation_id)
    if meanwhile == "hidden":
        conversation_inbox.hide(db, actor_of(ben), row.conversation_id)
    restore(db, row.message_id)
    assert inbox(db, ben)[0] == true_unread(db, ben) == 0
    assert listed(db, ben) == ([] if meanwhile == "hidden" else [row.conversation_id], 0)


def test_the_sender_is_told_why_once_and_the_receiver_of_nothing(db: Session, anna: User, ben: User) -> None:
    row = insult(db, anna, ben)
    remove(db, row.message_id)
    notify(db)
    notify(db)
    assert told(db, ben) == []
    assert told(db, anna) == [("message_removed", "A moderator removed a message of yours; the reason: “Insults.”.")]
    remove(db, insult(db, anna, ben, "Twice").message_id)
    notify(db)
    ((_, sentence),) = told(db, anna)
    assert sentence == "Moderators removed 2 messages of yours; the last time: “Insults.”."


def test_nobody_is_told_of_what_came_back_before(db: Session, anna: User, ben: User) -> None:
    row = insult(db, anna, ben)
    remove(db, row.message_id)
    restore(db, row.message_id)
    notify(db)
    assert told(db, anna) == []


def test_the_notification_of_a_removed_message_is_read(db: Session, anna: User, ben: User) -> None:
    row = insult(db, anna, ben)
    notify(db)
    remove(db, row.message_id)
    statement = sa.text("SELECT is_read FROM notifications WHERE user_id = :id")
    assert db.execute(statement, {"id": ben.user_id}).scalars().all() == [True]


def test_only_what_was_reported_and_by_others_than_the_two(db: Session, anna: User, ben: User) -> None:
    private = send(db, anna, ben)
    for act in (messages.read, messages.restore):
        with pytest.raises(NotFound):
            act(db, BOSS, private.message_id)
    with pytest.raises(NotFound):
        messages.remove(db, BOSS, private.message_id, reason=WHY)
    row = insult(db, anna, ben)
    for person in (anna, ben):
        person.roles = ["customer", "moderator"]
        with pytest.raises(Forbidden):
            messages.remove(db, actor_of(person), row.message_id, reason=WHY)
        with pytest.raises(Forbidden):
            messages.read(db, actor_of(person), row.message_id)
    with pytest.raises(PreconditionFailed):
        messages.remove(db, BOSS, row.message_id, reason=WHY, expected_version=7)
    with pytest.raises(Conflict):
        messages.restore(db, BOSS, row.message_id)
    remove(db, row.message_id)
    with pytest.raises(Conflict):
        messages.remove(db, BOSS, row.message_id, reason=WHY)
    assert [each.message_id for each in reported_messages.list_page(db, reported_messages.Criteria())] == [
        row.message_id
    ]


def test_what_it_says_is_for_whom_a_report_is_assigned_to_and_reading_it_is_on_record(
    db: Session, anna: User, ben: User
) -> None:
    row, moderator = insult(db, anna, ben), make_user(db, roles=["moderator"])
    assert reported_messages.find(db, row.message_id, moderator.user_id).content is None
    db.execute(sa.text("UPDATE reports SET state = 'assigned', assignee_id = :id"), {"id": moderator.user_id})
    assert reported_messages.find(db, row.message_id, moderator.user_id).content == "You fool"
    assert messages.read(db, BOSS, row.message_id).content == "You fool"
    event = db.execute(sa.select(Event).where(Event.type == "message.opened")).scalar_one()
    assert (event.subject_id, event.actor_name) == (row.message_id, "tester")


def test_what_was_removed_cannot_be_reported(db: Session, anna: User, ben: User) -> None:
    row = insult(db, anna, ben)
    with postgres.as_owner(db):
        db.execute(sa.text("DELETE FROM reports"))
    db.execute(sa.text("UPDATE messages SET deleted_at = now(), moderation_reason = 'Spam.'"))
    with pytest.raises(Gone):
        create.create(db, actor_of(ben), subject_type="message", subject_id=row.message_id, reason="spam")


def test_the_export_of_the_sender_has_its_words_and_that_of_the_receiver_has_not(
    db: Session, anna: User, ben: User
) -> None:
    row = insult(db, anna, ben)
    remove(db, row.message_id)
    (sent,), (got,) = (
        privacy_export.collect(db, anna.user_id)["messages_sent"],
        privacy_export.collect(db, ben.user_id)["messages_received"],
    )
    assert (sent["content"], sent["moderation_reason"]) == ("You fool", WHY)
    assert got["content"] == REMOVED and "moderation_reason" not in got


def test_erasing_the_sender_erases_the_words_of_what_was_removed(
    db: Session, settings: Settings, anna: User, ben: User
) -> None:
    row, other = insult(db, anna, ben), send(db, anna, ben, "Kind words")
    remove(db, row.message_id)
    erasure.erase_account(db, AccountRules.from_settings(settings), anna, BOSS)
    db.commit()
    kept = dict(db.execute(sa.select(Message.message_id, Message.content)).all())
    assert kept == {row.message_id: REMOVED, other.message_id: "Kind words"}
    with pytest.raises(Conflict, match="erased"):
        messages.restore(db, BOSS, row.message_id)


@pytest.fixture
def pair(committed_databases: Databases) -> tuple[User, User, int, int]:
    """Two people, and a message that one wrote and the other reported; its id and that of the conversation."""
    with committed_databases.session() as session:
        anna, ben = make_user(session), make_user(session)
        row = insult(session, anna, ben)
        session.expunge_all()
    return anna, ben, row.message_id, row.conversation_id


def consistent(databases: Databases) -> tuple[int, int]:
    """What the receiver's side says is unread, and what the rows come to; the inbox always agrees with the side."""
    with databases.session() as session:
        for box in session.execute(sa.select(Inbox)).scalars():
            sides = sa.select(sa.func.sum(ConversationSide.unread_count)).where(ConversationSide.user_id == box.user_id)
            assert box.unread_count == session.execute(sides).scalar()
        said = session.execute(sa.select(sa.func.sum(ConversationSide.unread_count))).scalar()
        people = session.execute(sa.select(User)).scalars().all()
        return int(said or 0), sum(true_unread(session, person) for person in people)


def test_removed_while_it_is_read_reported_and_answered(
    committed_databases: Databases, pair: tuple[User, User, int, int]
) -> None:
    anna, ben, message_id, conversation_id = pair
    for turn in range(5):
        results = at_once(
            committed_databases,
            lambda session: messages.remove(session, BOSS, message_id, reason=WHY),
            lambda session: messages.remove(session, BOSS, message_id, reason=WHY),
            lambda session: conversation_inbox.mark_read(session, actor_of(ben), message_id),
            lambda session: conversation_inbox.mark_all_read(session, actor_of(ben), conversation_id),
            lambda session: conversation_send.send(session, actor_of(anna), content="More", receiver_id=ben.user_id),
            lambda session: conversation_send.send(session, actor_of(ben), content="No", receiver_id=anna.user_id),
            lambda session: create.create(
                session, actor_of(ben), subject_type="message", subject_id=message_id, reason="spam"
            ),
            lambda session: queries.find_message(session, message_id, ben.user_id),
        )
        errors = [result for result in results if isinstance(result, Exception)]
        assert all(isinstance(error, DomainError) for error in errors), errors
        assert isinstance(results[0], Conflict) != isinstance(results[1], Conflict), "exactly one removes it"
        said, true = consistent(committed_databases)
        assert said == true, turn
        with committed_databases.session() as session:
            messages.restore(session, BOSS, message_id)
            session.commit()
        said, true = consistent(committed_databases)
        assert said == true, turn


def test_the_last_message_decides_what_the_preview_says(
    committed_databases: Databases, pair: tuple[User, User, int, int]
) -> None:
    """A message that is sent at the same moment is the last one, whoever is first."""
    anna, ben, message_id, conversation_id = pair
    for turn in range(8):
        with ThreadPoolExecutor(2) as pool:

            def sent(content: str = f"News {turn}") -> None:
                with committed_databases.session() as session:
                    conversation_send.send(session, actor_of(anna), content=content, receiver_id=ben.user_id)
                    session.commit()

            def toggled(hidden: bool = turn % 2 == 0) -> None:
                with committed_databases.session() as session:
                    if hidden:
                        messages.remove(session, BOSS, message_id, reason=WHY)
                    else:
                        messages.restore(session, BOSS, message_id)
                    session.commit()

            for future in [pool.submit(sent), pool.submit(toggled)]:
                future.result()
        with committed_databases.session() as session:
            assert preview(session, conversation_id) == f"News {turn}"
