"""A connection that many share is at each moment that of who asks now, and nobody's for who is not known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from pyramid.request import Request

from marketplace_api import app as application
from marketplace_api.database.engines import Databases, make_databases
from marketplace_api.database.poolers import Pooler
from marketplace_api.database.row_security import carries_caller
from tests.conftest import CurrentDatabases
from tests.factories.accounts import People
from tests.support.client import Client
from tests.support.pgbouncer import needs_pgbouncer, pooled
from tests.support.sql_recorder import recorded

WHO = sa.text(
    "SELECT coalesce(current_setting('app.user_id', true), ''), coalesce(current_setting('app.roles', true), ''), "
    "pg_backend_pid()"
)
NOBODY = ("", "")

Then = Callable[[Request], None]


class Watch:
    """What a request's own connection says of who calls, before anything else is asked through it."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []
        self.connections: set[int] = set()
        self.then: Then | None = None

    def look(self, request: Request) -> Any:
        user_id, roles, connection = request.db.execute(WHO).one()
        self.seen.append((user_id, roles))
        self.connections.add(connection)
        if self.then is not None:
            self.then(request)
        return self.root_factory(request)

    root_factory = staticmethod(application.root_factory)


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    watch = Watch()
    monkeypatch.setattr(application, "root_factory", watch.look)
    return watch


SESSIONS, TRANSACTIONS = "a pooler of sessions", "a pooler of transactions"
KEPT = "a pooler of sessions, which are relied on"


@pytest.fixture(
    params=[
        "alone",
        "with a replica",
        *(pytest.param(name, marks=needs_pgbouncer) for name in (SESSIONS, KEPT, TRANSACTIONS)),
    ]
)
def small(
    request: pytest.FixtureRequest, committed_databases: Databases, configured: tuple[Any, CurrentDatabases]
) -> Iterator[Databases]:
    """The application on a pool of one connection, whose statements end after a second. Behind a pooler of transactions
    that one is the server's, too; in one of sessions reading and writing each need their own."""
    url = committed_databases.owner_url
    replica = f"{url}?fallback_application_name=replica" if request.param == "with a replica" else ""
    with ExitStack() as stack:
        if request.param in (SESSIONS, KEPT):
            through = stack.enter_context(pooled(url, "session", servers=2, ignored="options"))
        elif request.param == TRANSACTIONS:
            through = stack.enter_context(pooled(url, "transaction"))
        else:
            through = url
        kinds = {SESSIONS: Pooler.TRANSACTION, KEPT: Pooler.SESSION, TRANSACTIONS: Pooler.TRANSACTION}
        databases = make_databases(
            through,
            replica,
            pool_size=1,
            timeout=1,
            direct_url="" if through == url else url,
            pooler=kinds.get(request.param, Pooler.NONE),
        )
        assert databases.has_replica == bool(replica)
        configured[1].target = databases
        yield databases
        databases.dispose()


@pytest.fixture
def callers(
    committed_databases: Databases, small: Databases, configured: tuple[Any, CurrentDatabases]
) -> Iterator[People]:
    with committed_databases.session() as session:
        yield People(session, configured[0])


def _as(client: Client) -> tuple[str, str]:
    return (str(client.user.user_id), "moderator" if "moderator" in client.user.roles else "")


def test_one_after_the_other(small: Databases, callers: People, watch: Watch) -> None:
    ada, bob, judge, nobody = callers.customer(), callers.customer(), callers.moderator(), callers.anonymous()
    suspended = callers.caller(roles=["moderator"], state="suspended", state_reason="Because.")
    forged, ended = Client(ada.app, "forged"), callers.customer()
    ended.post("/api/auth/logout", {"scope": "this"})
    watch.seen.clear()
    watch.connections.clear()
    expected = []
    for client, who in (
        (ada, _as(ada)),
        (nobody, NOBODY),
        (bob, _as(bob)),
        (judge, _as(judge)),
        (nobody, NOBODY),
        (ada, _as(ada)),
        (forged, NOBODY),
        (judge, _as(judge)),
        (ended, NOBODY),
        (suspended, (_as(suspended)[0], "")),
        (nobody, NOBODY),
    ):
        client.get("/api/categories")
        expected.append(who)
    assert watch.seen == expected
    assert len(watch.connections) == 1, "it was one connection all along"


def test_whatever_went_wrong_before(
    committed_databases: Databases, small: Databases, callers: People, watch: Watch
) -> None:
    ada, nobody = callers.customer(), callers.anonymous()
    with committed_databases.owner_session() as owner, owner.begin():  # for only the owner may do that
        owner.execute(
            sa.text(
                "CREATE FUNCTION end_connection() RETURNS boolean LANGUAGE sql SECURITY DEFINER "
                "AS 'SELECT pg_terminate_backend(pg_backend_pid())'"
            )
        )

    def crash(_request: Request) -> None:
        raise RuntimeError("in the middle")

    def fail(request: Request) -> None:
        request.db.execute(sa.text("SELECT 1 / 0"))

    def dawdle(request: Request) -> None:
        request.db.execute(sa.text("SELECT pg_sleep(5)"))

    def lose(request: Request) -> None:
        request.db.execute(sa.text("SELECT end_connection()"))

    for then, status in ((crash, 500), (fail, 500), (dawdle, 503), (lose, 503)):
        for method in ("GET", "POST"):
            watch.then = then
            assert ada.request(method, "/api/conversations").status_int == status
            watch.then = None
            nobody.request(method, "/api/conversations")
            assert watch.seen[-2:] == [_as(ada), NOBODY], f"{method} after {then.__name__}"


def test_a_write_leaves_nothing_on_its_connection(small: Databases, callers: People, watch: Watch) -> None:
    ada, nobody = callers.customer(), callers.anonymous()
    for body in ({"receiver_id": 0}, {}):  # refused, and rolled back
        assert ada.post("/api/messages", body).status_int == 400
    assert ada.put("/api/users/me", {"bio": "Committed."}).status_int == 200
    with small.write.connect() as connection:
        assert tuple(connection.execute(WHO).one())[:2] == NOBODY
    nobody.post("/api/auth/logout", {})
    assert watch.seen[-1] == NOBODY
    assert ada.get("/api/users/me").status_int == 200
    with small.write.connect() as connection:
        assert tuple(connection.execute(WHO).one())[:2] == NOBODY


def test_knowing_the_caller_costs_no_question_of_its_own(
    committed_databases: Databases, live_app: Any, live_people: People, api_databases: Databases
) -> None:
    """Callers and strangers in turns: each gets a connection that needs nothing taken back, as long as the pool has any."""
    ada, nobody = live_people.customer(), live_people.anonymous()
    for client in (ada, nobody):
        client.get("/api/categories")
    for client, most in ((ada, 2), (nobody, 1), (ada, 2), (nobody, 1)):
        with recorded() as statements:
            assert client.get("/api/categories").status_int == 200
        assert len(statements) == most, statements
    known, unknown = api_databases.reader(known=True), api_databases.reader()
    assert (carries_caller(known), carries_caller(unknown)) == (True, False)
    for reader in (known, unknown):
        api_databases.give_back(reader)


@needs_pgbouncer
def test_two_at_once_on_one_connection_of_the_server_s(
    committed_databases: Databases, configured: tuple[Any, CurrentDatabases]
) -> None:
    """Many connections of ours, one of PostgreSQL's: reads, writes and failures of two people and of strangers in any
    order; each gets what is theirs, and nothing of it stays there for the next."""
    url = committed_databases.owner_url
    with pooled(url, "transaction") as through, committed_databases.session() as session:
        databases = make_databases(through, pool_size=8, direct_url=url, pooler=Pooler.TRANSACTION)
        configured[1].target = databases
        people = People(session, configured[0])
        pair, nobody = (people.customer(), people.customer()), people.anonymous()
        for client, other in (pair, pair[::-1]):
            answer = client.post("/api/messages", {"receiver_id": other.user.user_id, "content": "Hello."})
            assert answer.status_int == 201, answer.text

        def work(number: int) -> None:
            client = pair[number % 2]
            for turn in range(10):
                shown = client.get("/api/users/me")
                assert shown.status_int == 200, shown.text
                assert shown.json["username"] == client.user.username
                assert client.get("/api/auth/sessions").json["totalItems"] == 1
                assert client.put("/api/users/me", {"bio": f"{client.user.username} {turn}"}).status_int == 200
                assert client.put("/api/users/me", {"bio": 7}).status_int == 400
                assert client.post("/api/messages", {"receiver_id": 0, "content": "x"}).status_int == 400
                assert nobody.get("/api/conversations").status_int == 401
                assert nobody.get("/api/categories").status_int == 200

        try:
            with ThreadPoolExecutor(4) as threads:
                list(threads.map(work, range(4)))
            for client in pair:
                assert client.get("/api/users/me").json["bio"].startswith(client.user.username)
                assert client.get("/api/conversations").json["totalItems"] == 1
        finally:
            databases.dispose()
        with psycopg.connect(through, autocommit=True) as stranger:
            left = stranger.execute(
                "SELECT current_user = session_user, coalesce(current_setting('app.user_id', true), ''), "
                "coalesce(current_setting('app.roles', true), ''), count(*) FROM pg_prepared_statements"
            ).fetchone()
        assert left == (True, "", "", 0)


@needs_pgbouncer
def test_behind_a_pooler_a_request_asks_no_more(
    committed_databases: Databases, configured: tuple[Any, CurrentDatabases]
) -> None:
    """Who calls goes along with each statement; there is no statement, and no round trip, for it alone."""
    url = committed_databases.owner_url
    with pooled(url, "transaction") as through, committed_databases.session() as session:
        databases = make_databases(through, pool_size=2, direct_url=url, pooler=Pooler.TRANSACTION)
        configured[1].target = databases
        people = People(session, configured[0])
        ada, nobody = people.customer(), people.anonymous()
        try:
            for client in (ada, nobody):
                client.get("/api/categories")
            for client, most in ((ada, 2), (nobody, 1), (ada, 2), (nobody, 1)):
                with recorded() as statements:
                    assert client.get("/api/categories").status_int == 200
                own = [statement for statement in statements if "set_config('role'" not in statement]
                assert len(own) == most, own
                assert len(statements) == 2 * most, "one of them for each, in the same pipeline"
        finally:
            databases.dispose()
