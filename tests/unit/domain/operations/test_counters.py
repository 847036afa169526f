"""Counters that drifted are found and repaired, those that are right are left alone; also while others write."""

from __future__ import annotations

import threading

import sqlalchemy as sa

from marketplace_api.database.engines import Databases
from marketplace_api.domain.operations import counters
from tests.factories import conversations
from tests.factories.accounts import make_user
from tests.factories.listings import make_listing
from tests.factories.notifications import make_notification
from tests.factories.reviews import make_review

# Each counter set to what is not so; triggers that would carry it on are those of other tables.
DRIFT = {
    "ratings_of_listings": "UPDATE listings SET rating_count = 7, rating_sum = 7, rating_histogram = '{7,0,0,0,0}'",
    "ratings_of_users": "UPDATE users SET rating_count = 1, rating_sum = 5, rating_histogram = '{0,0,0,0,1}' "
    "WHERE username = 'one'",
    "photos": "UPDATE listings SET photo_count = 3",
    "conversations": "UPDATE conversation_sides SET unread_count = message_count, message_count = message_count + 1",
    "inboxes": "UPDATE inboxes SET unread_count = 9, archived_count = 4",
    "notifications": "UPDATE notification_boxes SET total_count = 12, unread_count = 11",
}
STATE = (
    "SELECT listing_id, rating_count, rating_sum, rating_histogram, photo_count FROM listings ORDER BY 1",
    "SELECT user_id, rating_count, rating_sum, rating_histogram FROM users ORDER BY 1",
    "SELECT conversation_id, user_id, message_count, unread_count FROM conversation_sides ORDER BY 1, 2",
    "SELECT user_id, unread_count, current_count, archived_count FROM inboxes ORDER BY 1",
    "SELECT user_id, total_count, unread_count FROM notification_boxes ORDER BY 1",
)


def _state(databases: Databases) -> list[list[tuple[object, ...]]]:
    with databases.session() as session:
        return [[tuple(row) for row in session.execute(sa.text(statement))] for statement in STATE]


def test_what_drifted_is_mended_and_nothing_else(committed_databases: Databases) -> None:
    with committed_databases.session() as session:
        one, other = make_user(session, username="one"), make_user(session)
        listing = make_listing(session, one)
        make_review(session, other, listing=listing, rating=4)
        for _ in range(3):
            conversations.send(session, one, other)
        conversations.send(session, other, one)
        make_notification(session, one, other)
        session.commit()
        before = _state(committed_databases)
        assert counters.repair(session) == dict.fromkeys(DRIFT, 0)
        for statement in DRIFT.values():
            session.execute(sa.text(statement))
        session.commit()
        assert _state(committed_databases) != before
        repaired = counters.repair(session)
        assert all(repaired[name] for name in DRIFT), repaired
        assert _state(committed_databases) == before
        assert counters.repair(session) == dict.fromkeys(DRIFT, 0)


def test_mending_loses_nothing_that_is_counted_meanwhile(committed_databases: Databases) -> None:
    with committed_databases.session() as session:
        one, other = make_user(session), make_user(session)
        conversations.send(session, one, other)
        session.commit()
    failures: list[BaseException] = []

    def write() -> None:
        try:
            with committed_databases.session() as session:
                for _ in range(40):
                    conversations.send(session, one, other)
                    session.commit()
        except BaseException as error:  # whatever it is, the test shall show it
            failures.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    with committed_databases.session() as session:
        while writer.is_alive():
            session.execute(sa.text("UPDATE conversation_sides SET message_count = message_count + 5"))
            session.commit()
            counters.repair(session)
        writer.join()
        assert failures == []
        counts = session.execute(sa.text("SELECT message_count, unread_count FROM conversation_sides")).all()
    assert sorted(map(tuple, counts)) == [(41, 0), (41, 41)]
