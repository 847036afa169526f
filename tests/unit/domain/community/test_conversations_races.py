"""What happens when two write, read and block at the same moment: real connections, real commits."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from marketplace_api.database.engines import Databases
from marketplace_api.domain.community.conversations import blocks, inbox, send
from marketplace_api.errors import DomainError
from marketplace_api.models.community.conversations import Conversation, ConversationSide, Inbox, Message
from marketplace_api.models.identity.accounts import User
from tests.factories.accounts import make_user
from tests.factories.conversations import actor_of
from tests.support.polling import until_somebody_waits
from tests.unit.domain.identity.accounts_world import at_once


@pytest.fixture
def people(committed_databases: Databases) -> list[User]:
    with committed_databases.session() as session:
        made = [make_user(session) for _ in range(4)]
        session.commit()
        session.expunge_all()
    return made


def writing(sender: User, receiver: User, content: str = "Hello") -> Any:
    return lambda session: send.send(session, actor_of(sender), content=content, receiver_id=receiver.user_id)


def blocking(owner: User, other: User) -> Any:
    return lambda session: blocks.add(session, actor_of(owner), other.user_id)


def unread(session: Session) -> dict[int, tuple[int, int]]:
    """By account: what its sides and its inbox say is unread."""
    sides = sa.select(ConversationSide.user_id, sa.func.sum(ConversationSide.unread_count)).group_by(
        ConversationSide.user_id
    )
    boxes = dict(session.execute(sa.select(Inbox.user_id, Inbox.unread_count)).all())
    return {user_id: (int(count), boxes[user_id]) for user_id, count in session.execute(sides)}


def test_twenty_first_messages_from_both_sides_make_one_conversation(
    committed_databases: Databases, people: list[User]
) -> None:
    anna, ben, *_ = people
    results = at_once(committed_databases, *[writing(anna, ben)] * 10, *[writing(ben, anna)] * 10)
    assert [result for result in results if isinstance(result, Exception)] == []
    assert len({row.conversation_id for row in results}) == 1
    with committed_databases.session() as session:
        made = session.execute(sa.select(Conversation)).scalar_one()
        ids = list(session.execute(sa.select(Message.message_id).order_by(Message.message_id)).scalars())
        assert len(ids) == 20 and made.last_message_id == ids[-1]
        counts = session.execute(sa.select(ConversationSide.message_count, ConversationSide.unread_count)).all()
        assert counts == [(20, 10), (20, 10)]
        assert unread(session) == {anna.user_id: (10, 10), ben.user_id: (10, 10)}


def test_the_constraint_holds_without_the_domain(committed_databases: Databases, people: list[User]) -> None:
    values = {"participant1_id": people[0].user_id, "participant2_id": people[1].user_id}
    results = at_once(committed_databases, *[lambda s: s.execute(sa.insert(Conversation).values(values))] * 6)
    assert sum(isinstance(result, IntegrityError) for result in results) == 5


def test_reading_and_writing_at_once_never_miscounts(committed_databases: Databases, people: list[User]) -> None:
    anna, ben, carla, dora = people
    first = at_once(committed_databases, writing(anna, ben), writing(carla, ben), writing(dora, anna))
    conversation, message = first[0].conversation_id, first[0].message_id
    for _ in range(3):
        results = at_once(
            committed_databases,
            *[writing(anna, ben)] * 3,
            *[writing(ben, anna)] * 3,
            writing(carla, ben),
            writing(ben, dora),
            writing(dora, anna),
            writing(anna, carla),
            lambda s: inbox.mark_all_read(s, actor_of(ben), conversation),
            lambda s: inbox.mark_all_read(s, actor_of(anna), conversation),
            *[lambda s, message=message: inbox.mark_read(s, actor_of(ben), message)] * 2,
        )
        assert [result for result in results if isinstance(result, Exception)] == []
        with committed_databases.session() as session:
            assert all(sides == box for sides, box in unread(session).values())
            newest = (
                sa.select(sa.func.max(Message.message_id))
                .where(Message.conversation_id == conversation)
                .scalar_subquery()
            )
            assert session.execute(
                sa.select(Conversation.last_message_id == newest).where(Conversation.conversation_id == conversation)
            ).scalar_one()
            message = session.execute(
                sa.select(sa.func.max(Message.message_id)).where(
                    Message.receiver_id == ben.user_id, Message.sender_id == anna.user_id
                )
            ).scalar_one()


def test_one_message_that_two_devices_read_is_counted_once(committed_databases: Databases, people: list[User]) -> None:
    anna, ben, *_ = people
    rows = [at_once(committed_databases, writing(anna, ben))[0] for _ in range(2)]
    at_once(committed_databases, *[lambda s: inbox.mark_read(s, actor_of(ben), rows[0].message_id)] * 6)
    with committed_databases.session() as session:
        assert unread(session)[ben.user_id] == (1, 1)


def test_a_block_that_is_being_made_refuses_the_message_that_waits_for_it(
    committed_databases: Databases, people: list[User]
) -> None:
    anna, ben, *_ = people
    with ThreadPoolExecutor(1) as pool, committed_databases.session() as session:
        blocking(ben, anna)(session)
        sent = pool.submit(at_once, committed_databases, writing(anna, ben))
        until_somebody_waits(committed_databases)
        session.commit()
        (result,) = sent.result()
    assert isinstance(result, DomainError) and result.code == "blocked"
    with committed_databases.session() as session:
        assert session.execute(sa.select(sa.func.count()).select_from(Message)).scalar_one() == 0


def test_a_block_waits_for_the_message_that_is_being_sent(committed_databases: Databases, people: list[User]) -> None:
    anna, ben, *_ = people
    with ThreadPoolExecutor(1) as pool, committed_databases.session() as session:
        row = writing(anna, ben)(session)
        blocked = pool.submit(at_once, committed_databases, blocking(ben, anna))
        until_somebody_waits(committed_databases)
        assert not blocked.done()
        session.commit()
        (result,) = blocked.result()
    assert not isinstance(result, Exception)
    (again,) = at_once(committed_databases, writing(anna, ben))
    assert again.code == "blocked"
    with committed_databases.session() as session:
        assert list(session.execute(sa.select(Message.message_id)).scalars()) == [row.message_id]


def test_the_trigger_refuses_what_the_domain_was_not_asked_about(
    committed_databases: Databases, people: list[User]
) -> None:
    """The same race below the domain: a plain INSERT waits for the block, and then sees it."""
    anna, ben, *_ = people
    (first,) = at_once(committed_databases, writing(anna, ben))
    plain = sa.insert(Message).values(
        conversation_id=first.conversation_id, sender_id=anna.user_id, receiver_id=ben.user_id, content="Let me in"
    )
    with ThreadPoolExecutor(1) as pool, committed_databases.session() as session:
        blocking(ben, anna)(session)
        sent = pool.submit(at_once, committed_databases, lambda s: s.execute(plain))
        until_somebody_waits(committed_databases)
        session.commit()
        (result,) = sent.result()
    assert isinstance(result, IntegrityError) and "ck_messages_not_blocked" in str(result.orig.diag.constraint_name)


@pytest.mark.parametrize("attempt", range(3))
def test_whoever_is_first_no_message_follows_a_block(
    committed_databases: Databases, people: list[User], attempt: int
) -> None:
    anna, ben, *_ = people
    results = at_once(committed_databases, *[writing(anna, ben)] * 6, blocking(ben, anna), *[writing(anna, ben)] * 6)
    sent = [result for result in results if hasattr(result, "message_id")]
    refused = [result for result in results if isinstance(result, DomainError)]
    assert len(sent) + len(refused) == 12 and {error.code for error in refused} <= {"blocked"}
    with committed_databases.session() as session:
        # Whatever was refused came after all that was sent.
        assert session.execute(sa.select(sa.func.count()).select_from(Message)).scalar_one() == len(sent)
    (late,) = at_once(committed_databases, writing(anna, ben))
    assert late.code == "blocked"
