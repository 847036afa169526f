"""What happens when notifications are made, read and counted at the same moment: real connections, real commits."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database.engines import Databases
from marketplace_api.domain.catalog.listings import workflow
from marketplace_api.domain.community.conversations import inbox as conversations
from marketplace_api.domain.community.conversations.notify import notify_receiver
from marketplace_api.domain.outbound.notifications import create, inbox
from marketplace_api.domain.outbound.notifications.types import NotificationType
from marketplace_api.models.identity.accounts import User
from marketplace_api.models.kernel.events import Event
from marketplace_api.models.outbound.notifications import Notification, NotificationBox
from tests.factories.accounts import make_user
from tests.factories.conversations import actor_of, send
from tests.factories.listings import make_listing
from tests.factories.notifications import handle, listed, notify
from tests.support.polling import until_somebody_waits
from tests.unit.domain.identity.accounts_world import at_once


@pytest.fixture
def people(committed_databases: Databases) -> list[User]:
    with committed_databases.session() as session:
        made = [make_user(session) for _ in range(4)]
        session.commit()
        session.expunge_all()
    return made


def handling(event_id: int) -> Callable[[Session], None]:
    """The worker's handlers of one event, with the commits that they make."""

    def work(session: Session) -> None:
        with Session(session.get_bind(), expire_on_commit=False) as own:
            handle(own, own.get_one(Event, event_id))

    return work


def event_ids(databases: Databases, type: str) -> list[int]:
    with databases.session() as session:
        return list(session.execute(sa.select(Event.event_id).where(Event.type == type)).scalars())


def failures(results: list[Any]) -> list[Any]:
    return [result for result in results if isinstance(result, Exception)]


def write(databases: Databases, sender: User, receiver: User, number: int) -> list[int]:
    """That many messages; the ids of their events, none of which is handled."""
    before = set(event_ids(databases, "message.sent"))
    with databases.session() as session:
        for _ in range(number):
            send(session, sender, receiver)
    return [event_id for event_id in event_ids(databases, "message.sent") if event_id not in before]


def test_twenty_messages_at_once_are_one_notification_that_counts_twenty(
    committed_databases: Databases, people: list[User]
) -> None:
    anna, ben, *_ = people
    events = write(committed_databases, anna, ben, 20)
    assert failures(at_once(committed_databases, *map(handling, events))) == []
    with committed_databases.session() as session:
        (note,) = listed(session, ben)
        assert (note.count, note.is_read) == (20, False)


def test_handlers_that_run_twice_at_once_tell_once(committed_databases: Databases, people: list[User]) -> None:
    anna, ben, *_ = people
    events = write(committed_databases, anna, ben, 3)
    assert failures(at_once(committed_databases, *map(handling, events * 5))) == []
    with committed_databases.session() as session:
        (note,) = listed(session, ben)
        assert note.count == 3


def test_two_runs_of_one_fan_out_tell_every_keeper_once(
    committed_databases: Databases, people: list[User], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(create, "BATCH", 7)
    with committed_databases.session() as session:
        listing = make_listing(session, people[0])
        many = sa.text(
            "WITH made AS (INSERT INTO users (username, email) SELECT 'keeper' || n, 'keeper' || n || '@people.example' "
            "FROM generate_series(1, 60) AS n RETURNING user_id) "
            "INSERT INTO bookmarks (user_id, listing_id) SELECT user_id, :listing_id FROM made"
        )
        session.execute(many, {"listing_id": listing.listing_id})
        workflow.take(session, actor_of(people[0]), listing.listing_id, "mark-sold")
        session.commit()
    (event,) = event_ids(committed_databases, "listing.status_changed")
    assert failures(at_once(committed_databases, *[handling(event)] * 4)) == []
    with committed_databases.session() as session:
        found = session.execute(sa.select(Notification.user_id, Notification.count)).all()
        assert len(found) == len({user_id for user_id, _ in found}) == 60
        assert {count for _, count in found} == {1}
        boxes = session.execute(sa.select(NotificationBox.total_count, NotificationBox.unread_count)).all()
        assert boxes == [(1, 1)] * 60


@pytest.mark.parametrize("attempt", range(3))
def test_reading_all_beside_new_notifications_never_miscounts(
    committed_databases: Databases, people: list[User], attempt: int
) -> None:
    anna, ben, carla, dora = people
    write(committed_databases, carla, ben, 2)
    with committed_databases.session() as session:
        notify(session)
    events = [*write(committed_databases, anna, ben, 6), *write(committed_databases, dora, ben, 4)]
    reading = [lambda session: inbox.mark_all_read(session, actor_of(ben))] * 3
    works = [*map(handling, events[:5]), *reading, *map(handling, events[5:])]
    assert failures(at_once(committed_databases, *works)) == []
    with committed_databases.session() as session:
        rows = listed(session, ben)  # the counts are what the rows come to
        assert sum(row.count for row in rows) == 12
        unread = [row.conversation_id for row in rows if not row.is_read]
        assert len(unread) == len(set(unread))
        inbox.mark_all_read(session, actor_of(ben))
        assert [row for row in listed(session, ben) if not row.is_read] == []


def test_whatever_happens_at_once_the_counts_are_right(committed_databases: Databases, people: list[User]) -> None:
    anna, ben, carla, dora = people
    for _ in range(3):
        events = [
            *write(committed_databases, anna, ben, 3),
            *write(committed_databases, carla, ben, 3),
            *write(committed_databases, ben, anna, 3),
            *write(committed_databases, dora, anna, 2),
        ]
        with committed_databases.session() as session:
            there = [(row.user_id, row.notification_id) for user in people for row in listed(session, user)]
        by_id = {user.user_id: user for user in people}
        conversation = conversation_of(committed_databases, anna, ben)
        works: list[Callable[[Session], Any]] = [
            *map(handling, events),
            *(
                lambda session, user=by_id[user_id], note=note: inbox.dismiss(session, actor_of(user), note)
                for user_id, note in there[:3]
            ),
            *(
                lambda session, user=by_id[user_id], note=note: inbox.mark_read(session, actor_of(user), note)
                for user_id, note in there[3:6]
            ),
            lambda session: inbox.mark_all_read(session, actor_of(ben)),
            *(
                lambda session, user=user, read=conversation: conversations.mark_all_read(session, actor_of(user), read)
                for user in (anna, ben)
            ),
        ]
        assert failures(at_once(committed_databases, *works)) == []
        with committed_databases.session() as session:
            for user in people:
                listed(session, user)


def conversation_of(databases: Databases, one: User, other: User) -> int:
    statement = sa.text(
        "SELECT conversation_id FROM conversations WHERE participant1_id = :one AND participant2_id = :other"
    )
    with databases.session() as session:
        pair = {"one": min(one.user_id, other.user_id), "other": max(one.user_id, other.user_id)}
        return int(session.execute(statement, pair).scalar_one())


def test_who_reads_while_the_handler_tells_waits_and_marks_what_it_made(
    committed_databases: Databases, people: list[User]
) -> None:
    anna, ben, *_ = people
    (event_id,) = write(committed_databases, anna, ben, 1)
    conversation = conversation_of(committed_databases, anna, ben)
    with ThreadPoolExecutor(1) as pool, committed_databases.session() as session:
        event = session.get_one(Event, event_id)
        notice = create.NewNotification(
            NotificationType.NEW_MESSAGE,
            event_id,
            actor_id=anna.user_id,
            conversation_id=conversation,
            data={"message_id": event.subject_id},
            group_key=inbox.conversation_group(conversation),
        )
        notify_receiver(session, ben.user_id, event.subject_id or 0, notice)
        read = pool.submit(
            at_once, committed_databases, lambda own: conversations.mark_all_read(own, actor_of(ben), conversation)
        )
        until_somebody_waits(committed_databases)
        session.commit()
        assert failures(read.result()) == []
    with committed_databases.session() as session:
        assert [row.is_read for row in listed(session, ben)] == [True]


def test_a_handler_waits_for_who_is_reading_and_then_tells_nothing(
    committed_databases: Databases, people: list[User]
) -> None:
    anna, ben, *_ = people
    (event_id,) = write(committed_databases, anna, ben, 1)
    conversation = conversation_of(committed_databases, anna, ben)
    with ThreadPoolExecutor(1) as pool, committed_databases.session() as session:
        conversations.mark_all_read(session, actor_of(ben), conversation)
        handled = pool.submit(at_once, committed_databases, handling(event_id))
        until_somebody_waits(committed_databases)
        session.commit()
        assert failures(handled.result()) == []
    with committed_databases.session() as session:
        assert listed(session, ben) == []
