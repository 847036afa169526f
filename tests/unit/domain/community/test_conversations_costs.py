"""A long list costs what a short one costs: the same statements, which touch about as many pages of the database."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database.embedded_postgres import EmbeddedPostgres
from marketplace_api.database.engines import Databases, driver_connection, make_databases
from marketplace_api.database.row_security import APP_ROLE
from marketplace_api.domain.community.conversations import inbox, queries, reading
from marketplace_api.domain.kernel.paging import PageRequest
from marketplace_api.models.identity.accounts import User
from tests.factories.accounts import make_user
from tests.factories.conversations import actor_of, send
from tests.support import postgres
from tests.support.sql_recorder import recorded

Talk = tuple[User, User, int]
Crowd = tuple[Databases, Talk, Talk]

MOST = 1_000
LONG = 100_000

# As the triggers would leave it, without their 100,000 steps.
_WRITE_MANY = (
    "SET LOCAL session_replication_role = replica",
    "INSERT INTO messages (conversation_id, sender_id, receiver_id, content) "
    "SELECT :id, :sender, :receiver, 'Message ' || n FROM generate_series(1, :many) AS n",
    "UPDATE conversation_sides AS side SET last_message_id = all_.last, message_count = all_.number, "
    "unread_count = CASE WHEN side.user_id = :receiver THEN all_.number ELSE 0 END "
    "FROM (SELECT max(message_id) AS last, count(*) AS number FROM messages WHERE conversation_id = :id) AS all_ "
    "WHERE side.conversation_id = :id",
    "UPDATE conversations SET last_message_id = (SELECT max(message_id) FROM messages WHERE conversation_id = :id) "
    "WHERE conversation_id = :id",
    "SET LOCAL session_replication_role = origin",
    "UPDATE inboxes SET unread_count = "
    "(SELECT sum(unread_count) FROM conversation_sides WHERE conversation_sides.user_id = inboxes.user_id)",
)


class Weighing:
    """A reader, and the connection that prepared statements run on, that adds up how many pages they touch."""

    def __init__(self, db: Session) -> None:
        self.driver, self.pages = driver_connection(db), 0
        self.connection = self.driver_connection = self
        self.info: dict[str, Any] = {}

    def cursor(self) -> Weighing:
        return self

    def execute(self, statement: str, parameters: Any = None, /) -> Any:
        explained = self.driver.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", parameters)
        plan = explained.fetchone()[0][0]["Plan"]
        self.pages += plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
        return self.driver.execute(statement, parameters)


@pytest.fixture(scope="module")
def crowd(postgres_server: EmbeddedPostgres, template_database: str) -> Iterator[Crowd]:
    """A database with both, filled once."""
    name = f"long_and_short_{uuid4().hex[:12]}"
    url = postgres.clone_database(postgres_server, template_database, name)
    databases = make_databases(url, system=True)
    with databases.session() as session:
        idle, busy = make_idle(session), make_busy(session)
        session.commit()
    yield databases, busy, idle
    databases.dispose()
    postgres.drop_database(postgres_server, name)


@pytest.fixture
def db(crowd: Crowd) -> Iterator[Session]:
    """What a test does there is rolled back."""
    with crowd[0].session() as session:
        yield session
        session.rollback()


@pytest.fixture
def busy(crowd: Crowd) -> Talk:
    return crowd[1]


@pytest.fixture
def idle(crowd: Crowd) -> Talk:
    return crowd[2]


def make_busy(db: Session) -> Talk:
    """A person with 1,000 conversations, whose last one has 100,000 messages; who wrote them, and its id."""
    person, writer = make_user(db), make_user(db)
    for _ in range(MOST - 1):
        send(db, make_user(db), person, "Hello")
    conversation = send(db, writer, person, "Hello").conversation_id
    values = {"id": conversation, "sender": writer.user_id, "receiver": person.user_id, "many": LONG - 1}
    with postgres.as_owner(db):
        for statement in _WRITE_MANY:
            db.execute(sa.text(statement), {name: value for name, value in values.items() if f":{name}" in statement})
        db.execute(sa.text("ANALYZE"))
    return person, writer, conversation


def make_idle(db: Session) -> Talk:
    """A person with ten conversations, the last of ten messages."""
    person, writer = make_user(db), make_user(db)
    for _ in range(9):
        send(db, make_user(db), person, "Hello")
    return person, writer, [send(db, writer, person, "Hello").conversation_id for _ in range(10)][-1]


def test_long_lists_cost_what_short_ones_do(db: Session, busy: Talk, idle: Talk) -> None:
    pages, totals = {}, {}
    for name, (person, _writer, conversation) in {"busy": busy, "idle": idle}.items():
        lists, messages = Weighing(db), Weighing(db)
        page, unread = reading.conversations(lists, person.user_id, PageRequest(), archived=False)  # type: ignore[arg-type]
        found = reading.messages(messages, queries.find(db, conversation, person.user_id), PageRequest())  # type: ignore[arg-type]
        assert len(page.items) == len(found.items) == 10
        pages[name] = (lists.pages, messages.pages)
        totals[name] = (page.total, unread, found.total, found.total_is_capped)
    assert totals == {"busy": (1_000, 100_999, 10_000, True), "idle": (10, 19, 10, False)}
    for many, few in zip(pages["busy"], pages["idle"], strict=True):
        # Indexes of a big table are a level or two deeper.
        assert many <= 2 * few + 20, pages


def test_deep_pages_cost_what_the_first_does(db: Session, busy: Talk) -> None:
    person, _writer, conversation = busy
    row = queries.find(db, conversation, person.user_id)
    page, weights = PageRequest(limit=100), []
    for _ in range(30):
        weighing = Weighing(db)
        found = reading.messages(weighing, row, page)  # type: ignore[arg-type]
        assert len(found.items) == 100 and found.next_cursor
        weights.append(weighing.pages)
        page = PageRequest(limit=100, cursor=found.next_cursor)
    assert max(weights) <= 2 * weights[0] + 20, weights


def test_what_a_side_does_costs_the_same(db: Session, busy: Talk, idle: Talk) -> None:
    sent = []
    for person, writer, conversation in (busy, idle):
        with recorded() as found:
            inbox.mark_all_read(db, actor_of(person), conversation)
            inbox.archive(db, actor_of(person), conversation, archived=True)
            inbox.hide(db, actor_of(person), conversation)
            send(db, writer, person, "New")
        # None of them touches the messages that there are.
        assert not any(statement.startswith("UPDATE messages") for statement in found)
        assert queries.find(db, conversation, person.user_id).message_count == 1
        sent.append([statement for statement in found if "SAVEPOINT" not in statement])
    assert sent[0] == sent[1]


def test_a_conversation_is_expected_to_be_longer_than_most_are(committed_databases: Databases) -> None:
    """So that a page of a long one is read from its end, and not found by fetching and sorting all of it."""
    page = reading._messages(False, False)._sql
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", page)))
    for place, name in enumerate(names, 1):
        page = page.replace(f"%({name})s", f"${place}")
    values = dict.fromkeys(names, 0) | {"viewer_id": 1, "conversation_id": 1, "count": 21}
    with psycopg.connect(committed_databases.owner_url) as owner:
        owner.execute("SET session_replication_role = replica")
        owner.execute(
            "INSERT INTO messages (conversation_id, sender_id, receiver_id, content) "
            "SELECT CASE WHEN n % 10 = 0 THEN 1 ELSE 1000 + n * 7919 % 3000 END, 1 + n % 200, 201, repeat('x', 300) FROM generate_series(1, 10000) AS n"
        )
        owner.execute("ANALYZE messages")
        owner.execute(f"SET ROLE {APP_ROLE}")
        owner.execute("SELECT set_config('app.user_id', '1', true), set_config('app.roles', '', true)")
        owner.execute("SET plan_cache_mode = force_generic_plan")
        owner.execute(f"PREPARE page AS {page}".encode())
        asked = f"EXPLAIN EXECUTE page ({', '.join(str(values[name]) for name in names)})"
        plan = "\n".join(row[0] for row in owner.execute(asked.encode()))
    (expected,) = re.findall(r" on messages .*rows=(\d+)", plan)
    assert int(expected) > 5, plan
