"""The second wall: what the database itself keeps from everybody but whom a row belongs to, whatever the code asks for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from itertools import product
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database.base import Base
from marketplace_api.database.engines import Databases
from marketplace_api.database.row_security import MODERATOR, SYSTEM, elevated
from marketplace_api.domain.kernel.actors import operator
from marketplace_api.domain.outbound.webhooks import endpoints as webhooks
from marketplace_api.domain.trust.verifications import submission
from marketplace_api.security.policy import TokenSecurityPolicy
from marketplace_api.views.service import SERVICES
from tests.conftest import OneTransaction, set_caller
from tests.factories import conversations
from tests.factories.accounts import People
from tests.factories.files import make_photo
from tests.factories.listings import make_listing
from tests.factories.notifications import make_notification
from tests.factories.reports import make_report
from tests.factories.reviews import actor_of
from tests.factories.verifications import PNG
from tests.factories.webhooks import make_webhook
from tests.functional.protected_tables import MODERATED, OFFICE, OPEN, OWNERS
from tests.support.client import Client


@dataclass
class World:
    """Two who deal with each other, and somebody else who deals with a fourth; each has some of everything."""

    one: Client
    other: Client
    third: Client
    fourth: Client
    reported: int

    @property
    def clients(self) -> tuple[Client, ...]:
        return self.one, self.other, self.third, self.fourth


@pytest.fixture
def world(db: Session, databases: OneTransaction, people: People) -> World:
    clients = [people.customer() for _ in range(4)]
    one, other, third, fourth = (client.user for client in clients)
    registry: Any = people.app.registry
    reported = 0
    for sender, receiver in ((one, other), (third, fourth)):
        conversations.send(db, sender, receiver, "Is it still there?")
        message = conversations.send(db, receiver, sender, "Buy elsewhere.")
        if sender is one:
            reported = message.message_id
            make_report(db, sender, "message", reported)
    make_report(db, third, "user", one.user_id)
    for user, neighbour in ((one, third), (other, fourth), (third, one), (fourth, other)):
        conversations.block(db, user, neighbour)
        make_notification(db, user, neighbour)
        make_photo(db, make_listing(db, user))
        submission.submit(
            db,
            databases,
            registry.storage,
            registry.document_keys,
            actor_of(user),
            document_type="passport",
            stream=BytesIO(PNG),
        )
        for statement in (
            "INSERT INTO one_time_tokens (token_hash, user_id, purpose, email, expires_at) "
            "VALUES (sha256(:id::text::bytea), :id, 'reset_password', 'x@people.example', now() + interval '1 day')",
            "INSERT INTO stream_tickets (ticket_hash, user_id, session_id, expires_at) SELECT sha256(:id::text::bytea), "
            ":id, session_id, now() + interval '1 minute' FROM sessions WHERE user_id = :id LIMIT 1",
            "INSERT INTO notification_preferences (user_id) VALUES (:id)",
            "INSERT INTO notification_choices (user_id, type, channel, enabled) "
            "VALUES (:id, 'new_message', 'email', false)",
            "INSERT INTO phones (user_id, number) VALUES (:id, '+4915' || (10000000 + :id))",
            "INSERT INTO phone_codes (user_id, number, expires_at) VALUES (:id, '+4915112345678', now())",
            "INSERT INTO push_subscriptions (user_id, session_id, endpoint, p256dh, auth) "
            "SELECT :id, session_id, 'https://push.example/' || session_id, "
            "convert_to(repeat('k', 65), 'UTF8'), convert_to(repeat('s', 16), 'UTF8') "
            "FROM sessions WHERE user_id = :id LIMIT 1",
        ):
            db.execute(sa.text(statement.replace("::", r"\:\:")), {"id": user.user_id})
        db.commit()
    return World(*clients, reported)


@contextmanager
def seen_by(db: Session, user_id: int | None = None, roles: str = "") -> Iterator[sa.Connection]:
    """The bare connection of the application's role, as a caller's."""
    connection = db.connection()
    before = set_caller(connection, (str(user_id or ""), roles))
    try:
        yield connection
    finally:
        set_caller(connection, before)


def count(connection: sa.Connection, table: str, where: str = "true", **values: Any) -> int:
    return int(connection.execute(sa.text(f"SELECT count(*) FROM {table} WHERE {where}"), values).scalar_one())


def private(table: str) -> str:
    return "kind = 'document'" if table == "files" else "true"


def own(table: str) -> str:
    return " OR ".join(f"{column} = :id" for column in OWNERS[table])


def test_the_application_is_neither_owner_nor_superuser(db: Session) -> None:
    facts = db.execute(
        sa.text(
            "SELECT current_user, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolcanlogin, EXISTS "
            "(SELECT FROM pg_class WHERE relowner = pg_roles.oid) FROM pg_roles WHERE rolname = current_user"
        )
    ).one()
    assert tuple(facts) == ("marketplace_app", *[False] * 6)


def test_nobody_sees_nothing(db: Session, world: World) -> None:
    for table in OWNERS:
        with seen_by(db) as connection:
            assert count(connection, table, private(table)) == 0, table
        with seen_by(db, roles=SYSTEM) as connection:
            assert count(connection, table, private(table)) > 0, f"so there was something to see in {table}"


def test_what_belongs_to_no_account_is_seen_by_none_but_those_who_look_after_it(db: Session, people: People) -> None:
    endpoint = make_webhook(db)
    webhooks.test(db, operator("test"), endpoint.endpoint_id)
    db.commit()
    for table in OFFICE:
        for caller, roles, expected in ((None, "", 0), (people.customer().user.user_id, "", 0), (1, MODERATOR, 1)):
            with seen_by(db, caller, roles) as connection:
                assert count(connection, table) == expected, table


def test_everybody_sees_their_own(db: Session, world: World) -> None:
    for client, table in product(world.clients, OWNERS):
        user_id = client.user.user_id
        expected = count(db.connection(), table, f"({own(table)}) AND {private(table)}", id=user_id)
        assert expected > 0 or table == "reports"
        with seen_by(db, user_id) as connection:
            assert count(connection, table, private(table)) == expected, table
            assert count(connection, table, f"NOT ({own(table)}) AND {private(table)}", id=user_id) == 0, table


def test_moderators_see_what_they_judge(db: Session, world: World, people: People) -> None:
    judge = people.moderator().user.user_id
    for table in OWNERS:
        everything = count(db.connection(), table)
        with seen_by(db, judge, MODERATOR) as connection:
            found = count(connection, table, f"NOT ({own(table)})", id=judge)
            if table == "messages":
                ids = connection.execute(sa.text("SELECT message_id FROM messages")).scalars().all()
                assert ids == [world.reported]
            else:
                assert found == (everything if table in MODERATED else 0), table


def test_nobody_changes_what_belongs_to_others(db: Session, world: World, people: People) -> None:
    """Nor do moderators, but for what they decide about."""
    one, judge = world.one.user.user_id, people.moderator().user.user_id
    for table, (caller, roles) in product(OWNERS, ((None, ""), (one, ""), (judge, MODERATOR))):
        column, others = OWNERS[table][0], f"NOT ({own(table)})"
        decides = roles == MODERATOR and table in ("verifications", "reports")
        with seen_by(db, caller, roles) as connection:
            for statement in (f"UPDATE {table} SET {column} = {column}", f"DELETE FROM {table}"):
                if not (decides and statement.startswith("UPDATE")):
                    changed = rows_of(connection, f"{statement} WHERE {others}", id=caller or one)
                    assert changed == 0, f"{statement} by {caller}"


def rows_of(connection: sa.Connection, statement: str, **values: Any) -> int:
    """How many rows a statement would change; none where it is refused."""
    savepoint = connection.begin_nested()
    try:
        return connection.execute(sa.text(statement), values).rowcount
    except sa.exc.ProgrammingError as refused:
        assert "permission denied" in str(refused)
        return 0
    finally:
        savepoint.rollback()


FOREIGN = (
    "INSERT INTO messages (conversation_id, sender_id, receiver_id, content) "
    "SELECT conversation_id, user_id, other_id, 'x' FROM conversation_sides WHERE user_id = :other LIMIT 1",
    "INSERT INTO conversations (participant1_id, participant2_id) VALUES (LEAST(:other, :fourth), "
    "GREATEST(:other, :fourth))",
    "INSERT INTO blocks (user_id, blocked_id) VALUES (:other, :one)",
    "INSERT INTO notifications (user_id, type, event_id) VALUES (:other, 'x', 1)",
    "INSERT INTO sessions (user_id, refresh_hash, expires_at) VALUES (:other, 'x', now())",
    "INSERT INTO one_time_tokens (token_hash, user_id, purpose, email, expires_at) "
    "VALUES ('x', :other, 'reset_password', 'x', now())",
    "INSERT INTO verifications (user_id, document_type, document_name, media_type, status, reason, "
    "date_decided, documents_purged_at) VALUES (:other, 'passport', 'x', 'x', 'rejected', 'x', now(), now())",
    "INSERT INTO files (key, kind, owner_id, content_type, size, sha256) VALUES "
    "('photo-00000000000000000000000000000000.webp', 'photo', :other, 'x', 1, sha256('x'))",
    "INSERT INTO reports (reporter_id, subject_type, subject_id, reported_id, reason) "
    "VALUES (:other, 'user', :one, :one, 'spam')",
    "INSERT INTO notification_preferences (user_id) VALUES (:other)",
    "INSERT INTO notification_choices VALUES (:other, 'x', 'sms', true)",
    "INSERT INTO inboxes (user_id) VALUES (:other)",
    "INSERT INTO phones (user_id, number) VALUES (:other, '+4915112345678')",
    "INSERT INTO phone_codes (user_id, number, expires_at) VALUES (:other, '+4915112345678', now())",
    "INSERT INTO push_subscriptions (user_id, session_id, endpoint, p256dh, auth) VALUES "
    "(:other, 1, 'https://x.example/', convert_to(repeat('k', 65), 'UTF8'), convert_to(repeat('s', 16), 'UTF8'))",
    "INSERT INTO notification_boxes (user_id) VALUES (:other)",
)


def test_nobody_writes_in_the_name_of_others(db: Session, world: World) -> None:
    ids = {name: getattr(world, name).user.user_id for name in ("one", "other", "fourth")}
    with seen_by(db, ids["one"]) as connection:
        for statement in FOREIGN:
            asked = {name: value for name, value in ids.items() if f":{name}" in statement}
            savepoint = connection.begin_nested()
            with pytest.raises(sa.exc.ProgrammingError, match=r"row-level security|permission denied"):
                connection.execute(sa.text(statement), asked)
                pytest.fail(f"{statement} was done")
            savepoint.rollback()


def test_a_question_that_forgot_whose_it_is_gets_the_caller_s(db: Session, world: World) -> None:
    """As in a request: the database has found out who calls, and the condition is missing."""
    user_id = world.one.user.user_id
    with seen_by(db, user_id):
        found = db.execute(sa.text("SELECT * FROM messages")).all()
    assert len(found) == 2
    assert all(user_id in (row.sender_id, row.receiver_id) for row in found)


def _addresses(world: World, db: Session) -> list[str]:
    """What the two have among themselves, and lists."""
    with seen_by(db, roles=SYSTEM) as connection:

        def first(statement: str) -> int:
            return int(connection.execute(sa.text(statement), {"id": world.one.user.user_id}).scalar_one())

        conversation = first(
            "SELECT conversation_id FROM conversations WHERE :id IN (participant1_id, participant2_id)"
        )
        named = {
            "conversation_id": conversation,
            "message_id": world.reported,
            "notification_id": first("SELECT notification_id FROM notifications WHERE user_id = :id LIMIT 1"),
            "session_id": first("SELECT session_id FROM sessions WHERE user_id = :id LIMIT 1"),
            "verification_id": first("SELECT verification_id FROM verifications WHERE user_id = :id"),
            "report_id": first("SELECT report_id FROM reports WHERE reporter_id = :id"),
        }
    about = ("conversations", "messages", "notification", "sessions", "verification", "reports", "blocks")
    patterns = sorted(
        service.pattern
        for service in SERVICES
        if any(word in service.pattern for word in about)
        and any(operation.method == "GET" for operation in service.declared)
    )
    addresses = []
    for pattern in patterns:
        path = pattern
        for name, value in named.items():
            path = path.replace(f"{{{name}}}", str(value))
        path = path.replace("{user_id}", str(world.third.user.user_id))
        assert "{" not in path, pattern
        addresses.append(path)
    return addresses


@pytest.mark.parametrize("caller", ["stranger", "anonymous"])
def test_without_any_acl_nothing_of_others_is_told(
    db: Session, world: World, people: People, caller: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first wall taken away, the second holds: at every address that reads what is protected."""
    client = people.customer() if caller == "stranger" else people.anonymous()
    addresses = _addresses(world, db)
    assert len(addresses) > 12
    monkeypatch.setattr(TokenSecurityPolicy, "permits", lambda *_: True)
    secrets = ["Is it still there?", "Buy elsewhere.", "It never came.", *(one.user.username for one in world.clients)]
    for address in addresses:
        answer = client.get(address)
        assert answer.status_int in (200, 401, 403, 404, 405), f"{address}: {answer.text}"
        if answer.status_int == 200:
            told = [secret for secret in secrets if secret in answer.text]
            assert told == [], f"{address} tells {told}"


def test_every_table_is_protected_or_said_to_be_open() -> None:
    """A new table has to be put on one of the two lists."""
    known = set(OWNERS) | set(OPEN) | set(OFFICE)
    assert {table.name for table in Base.metadata.sorted_tables} - known == set()
    assert set(OWNERS).isdisjoint(OPEN)


def test_the_lists_are_those_of_the_database(db: Session) -> None:
    protected = "SELECT relname FROM pg_class WHERE relrowsecurity AND relkind = 'r'"
    assert set(db.execute(sa.text(protected)).scalars()) == set(OWNERS) | set(OFFICE)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET reason = 'x'",
        "DELETE FROM events",
        "TRUNCATE events",
        "DROP TABLE events",
        "ALTER TABLE events DISABLE TRIGGER ALL",
        "ALTER TABLE messages DISABLE ROW LEVEL SECURITY",
        "DROP POLICY own_read ON messages",
        "CREATE POLICY mine ON messages USING (true)",
        "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE sql AS ''",
        "CREATE TABLE mine (id integer)",
        "DELETE FROM users",
        "UPDATE alembic_version SET version_num = '0001'",
        "DELETE FROM categories",
        "SELECT setval('events_event_id_seq', 1)",
        "CREATE ROLE mine",
    ],
)
def test_what_the_application_may_not_do_at_all(db: Session, statement: str) -> None:
    with seen_by(db, roles=SYSTEM) as connection:
        savepoint = connection.begin_nested()
        with pytest.raises(sa.exc.DBAPIError, match=r"permission denied|must be owner|privileges"):
            connection.execute(sa.text(statement))
            pytest.fail(f"{statement} was done")
        savepoint.rollback()


def test_a_piece_with_all_rights_ends_where_it_ends(db: Session, world: World) -> None:
    with seen_by(db, world.one.user.user_id) as connection:
        with elevated(db):
            assert count(connection, "sessions") == 4
        assert count(connection, "sessions") == 1
        savepoint = db.begin_nested()
        with pytest.raises(sa.exc.DataError), elevated(db):
            db.execute(sa.text("SELECT 1 / 0"))
        savepoint.rollback()
        assert count(connection, "sessions") == 1


def test_a_process_for_everybody_sees_everything(committed_databases: Databases, api_databases: Databases) -> None:
    roles = sa.text("SELECT coalesce(current_setting('app.roles', true), '')")
    for databases, expected in ((committed_databases, SYSTEM), (api_databases, "")):
        with databases.session() as session:
            assert session.execute(roles).scalar_one() == expected
        with databases.separately(7) as session:
            assert session.execute(sa.text("SELECT current_setting('app.user_id')")).scalar_one() == "7"
