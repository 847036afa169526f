"""What is behind a URL, what the start makes of it, and that no way to connect loses role, rights or timeouts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import replace
from threading import Event
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from marketplace_api import boot
from marketplace_api.config.settings import Settings
from marketplace_api.database.engines import Databases, libpq_url, make_databases
from marketplace_api.database.per_transaction import PerTransactionConnection
from marketplace_api.database.poolers import Pooler, find_pooler
from marketplace_api.database.row_security import APP_ROLE, SYSTEM
from marketplace_api.database.session_settings import UnexpectedSession, application_settings, set_up, set_up_async
from tests.support.pgbouncer import needs_pgbouncer, pooled

SEEN = sa.text(
    "SELECT current_user, coalesce(current_setting('app.roles', true), ''), "
    "coalesce(current_setting('app.user_id', true), ''), current_setting('statement_timeout'), current_setting('TimeZone')"
)
PID = sa.text("SELECT pg_backend_pid()")


@pytest.fixture
def own(committed_databases: Databases) -> str:
    """The database by its owner's URL, whom no policy binds, as most installations log in."""
    return libpq_url(committed_databases.owner_url)


def _kind(url: str) -> Pooler:
    with psycopg.connect(url, autocommit=True) as connection:
        return find_pooler(connection, url)


def test_without_a_pooler_there_is_none(own: str) -> None:
    assert _kind(own) is Pooler.NONE


@needs_pgbouncer
@pytest.mark.parametrize("mode", ["session", "transaction"])
@pytest.mark.parametrize(("servers", "round_robin"), [(1, 0), (5, 0), (5, 1)])
def test_the_kind_of_a_pooler_is_found_out(own: str, mode: str, servers: int, round_robin: int) -> None:
    with pooled(own, mode, servers=servers, round_robin=round_robin) as url, ExitStack() as held:
        for _ in range(servers - 2):  # so that there are several servers to choose from
            other = held.enter_context(psycopg.connect(url))
            other.execute("SELECT 1")
        for _ in range(3):
            assert _kind(url) == mode
            if mode == "transaction":
                held.close()


@needs_pgbouncer
@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_it_is_found_out_while_others_are_busy(own: str, mode: str) -> None:
    stop = Event()

    def work(url: str) -> None:
        with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
            while not stop.is_set():
                connection.execute("SELECT 1")

    with pooled(own, mode, servers=4) as url, ThreadPoolExecutor(2) as threads:
        working = [threads.submit(work, url) for _ in range(2)]
        try:
            assert [_kind(url) for _ in range(3)] == [mode] * 3
        finally:
            stop.set()
        for one in working:
            one.result()


def _refusal(settings: Settings, **changes: Any) -> str:
    with pytest.raises(boot.BootError) as caught:
        boot.open_databases(replace(settings, **changes))
    return str(caught.value)


@needs_pgbouncer
def test_what_would_not_last_is_refused_at_the_start(settings: Settings, own: str) -> None:
    with pooled(own, "transaction") as url:
        assert "set DATABASE_DIRECT_URL" in _refusal(settings, database_url=url)
        assert "set DATABASE_DIRECT_URL" in _refusal(settings, database_url=own, database_read_url=url)
        assert "DATABASE_DIRECT_URL leads through" in _refusal(settings, database_url=url, database_direct_url=url)
        assert "DATABASE_OWNER_URL leads through" in _refusal(
            settings, database_url=url, database_direct_url=own, database_owner_url=url
        )
        for declared in ("none", "session"):
            told = _refusal(settings, database_url=url, database_direct_url=own, database_pooler=declared)
            assert f"DATABASE_POOLER says {declared}" in told
    with pooled(own, "session", servers=4) as url:
        assert "DATABASE_POOLER says none" in _refusal(settings, database_url=url, database_pooler="none")
    with pooled(own, "statement") as url:
        assert "have it pool transactions" in _refusal(settings, database_url=url, database_direct_url=own)
    assert "set DATABASE_DIRECT_URL" in _refusal(settings, database_url=own, database_pooler="transaction")


@needs_pgbouncer
@pytest.mark.parametrize("ignored", ["", "options"])
@pytest.mark.parametrize(
    ("mode", "declared"),
    [("session", "auto"), ("session", "session"), ("transaction", "auto"), ("session", "transaction")],
)
@pytest.mark.parametrize("system", [True, False])
def test_every_way_is_bound_whatever_the_pooler_drops(
    settings: Settings, own: str, mode: str, declared: str, ignored: str, system: bool
) -> None:
    with pooled(own, mode, servers=2 if mode == "transaction" else 8, ignored=ignored) as url:
        through = replace(
            settings, database_url=url, database_direct_url=own, database_pooler=declared, database_timeout=7
        )
        with boot.opened(through, system=system) as databases:
            expected = (APP_ROLE, SYSTEM if system else "", "", "7s", "UTC")
            for _ in range(2):
                with databases.session() as session, session.begin():
                    assert tuple(session.execute(SEEN).one()) == expected
                    with session.begin_nested():
                        assert tuple(session.execute(SEEN).one()) == expected
                for way in (databases.reader, databases.primary_reader, databases.session_connection):
                    with way() as connection:
                        assert tuple(connection.execute(SEEN).one()) == expected
                        with pytest.raises(sa.exc.DataError):
                            connection.execute(sa.text("SELECT 1 / 0"))
                        assert tuple(connection.execute(SEEN).one()) == expected
            assert boot.connection_url(databases) == own
            keeps = databases.write.url.port == sa.make_url(own).port or declared == "session"
            assert (databases.pooler is Pooler.SESSION) == keeps


@needs_pgbouncer
@pytest.mark.parametrize("more", ["", "server_reset_query ="])
def test_a_session_that_somebody_left_behind_is_ours_from_its_first_statement_on(own: str, more: str) -> None:
    """A pool of one server: one client becomes somebody and leaves, the next one gets the same server."""
    with pooled(own, "session", more=more) as url:
        with psycopg.connect(url, autocommit=True) as other:
            before = other.execute(
                "SELECT pg_backend_pid(), set_config('app.user_id', '7', false), set_config('app.roles', 'system', false), "
                "set_config('statement_timeout', '0', false)"
            ).fetchone()
        databases = make_databases(url, pool_size=1, timeout=3, pooler=Pooler.SESSION)
        try:
            with databases.write.connect() as connection:
                assert before is not None
                assert connection.execute(PID).scalar_one() == before[0], "it is the same server"
                assert tuple(connection.execute(SEEN).one()) == (APP_ROLE, "", "", "3s", "UTC")
        finally:
            databases.dispose()


@needs_pgbouncer
def test_a_pooler_that_comes_later_is_no_way_around(own: str) -> None:
    """What the start has seen is not there any more: rather no answer than one without walls."""
    with pooled(own, "session", servers=4) as url:
        databases = make_databases(url, pooler=Pooler.NONE)
        with pytest.raises(sa.exc.OperationalError, match="A pooler has come between"):
            databases.reader()
        with pytest.raises(sa.exc.OperationalError, match="A pooler has come between"), databases.session() as session:
            session.execute(PID)


@pytest.fixture
def scattered(own: str) -> Iterator[str]:
    """A pooler of transactions with two servers, which it gives in turns."""
    with pooled(own, "transaction", servers=2, round_robin=1) as url:
        with psycopg.connect(url) as one, psycopg.connect(url) as other:
            for connection in (one, other):
                connection.execute("SELECT 1")
        yield url


@needs_pgbouncer
def test_settings_that_do_not_last_are_noticed_when_a_connection_is_made(scattered: str) -> None:
    connection = psycopg.connect(scattered)
    with pytest.raises(UnexpectedSession, match=r"current_user of the connection do not last"):
        set_up(connection, application_settings(system=True, timeout=3))
    assert connection.closed

    async def queue() -> None:
        other = await psycopg.AsyncConnection.connect(scattered)
        with pytest.raises(UnexpectedSession, match="do not last"):
            await set_up_async(other, application_settings(system=True))
        assert other.closed

    asyncio.run(queue())


@needs_pgbouncer
def test_the_start_refuses_what_is_not_what_was_asked(
    settings: Settings, own: str, scattered: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the experiment says: the walls themselves are looked at."""
    monkeypatch.setattr(boot, "find_pooler", lambda *_: Pooler.SESSION)
    told = _refusal(settings, database_url=scattered, database_direct_url=own, database_pooler="session")
    assert "row level security or timeouts would not hold" in told
    monkeypatch.setattr("marketplace_api.boot.session_faults", lambda *_: ["current_user is 'x' and not 'y'"])
    assert "current_user is 'x' and not 'y'" in _refusal(settings, database_url=own)


@pytest.fixture
def driver(own: str) -> Iterator[PerTransactionConnection]:
    """A bare connection of the kind that goes behind a pooler of transactions; it needs none."""
    databases = make_databases(own, pool_size=1, timeout=3, pooler=Pooler.TRANSACTION)
    with databases.write.connect() as connection:
        found = connection.connection.driver_connection
        assert isinstance(found, PerTransactionConnection)
        yield found
    databases.dispose()


WHO = "SELECT current_user::text, current_setting('app.roles', true), current_setting('app.user_id', true)"


def test_each_kind_of_statement_is_the_caller_s(driver: PerTransactionConnection) -> None:
    driver.caller = ("7", "moderator")
    expected = (APP_ROLE, "moderator", "7")
    assert driver.execute(WHO).fetchone() == expected
    driver.rollback()
    with driver.cursor(name="streamed") as stream:
        assert stream.execute(WHO).fetchall() == [expected]
    driver.rollback()
    with driver.cursor().copy(f"COPY ({WHO}) TO STDOUT") as copy:
        assert list(copy.rows()) == [expected]
    driver.rollback()
    cursor = driver.cursor()
    cursor.executemany(f"{WHO}, %s", [(1,), (2,)], returning=True)
    assert cursor.fetchall() == [(*expected, 1)]
    driver.rollback()
    for _ in range(2):
        with driver.transaction(), driver.transaction():
            assert driver.execute(WHO).fetchone() == expected

    def streamed() -> None:
        with driver.cursor(name="streamed") as stream:
            stream.execute(WHO)

    driver.autocommit = True
    assert driver.execute(WHO).fetchone() == expected
    with driver.transaction():
        assert driver.execute(WHO).fetchone() == expected
    for refused in (
        lambda: driver.cursor().executemany(WHO, [()]),
        lambda: driver.cursor().copy(f"COPY ({WHO}) TO STDOUT").__enter__(),
        lambda: driver.cursor().stream(WHO),
        streamed,
    ):
        with pytest.raises(psycopg.NotSupportedError):
            refused()


def test_nothing_stays_on_the_server(driver: PerTransactionConnection, own: str) -> None:
    """However a transaction ends, the session below is as it was when it was made: that of the login, and nobody's."""
    driver.caller = ("7", SYSTEM)

    def left() -> Any:
        answer = driver.pgconn.exec_(f"{WHO}, current_setting('statement_timeout')".encode())
        return [(answer.get_value(0, column) or b"").decode() for column in range(4)]

    def cancel() -> None:
        driver.execute("SET LOCAL statement_timeout = 50")
        driver.execute("SELECT pg_sleep(60)")

    def slow() -> None:
        driver.execute("SELECT pg_sleep(60), set_config('statement_timeout', '0', true)")

    login = sa.make_url(own).username
    for autocommit in (True, False):
        driver.autocommit = autocommit
        for act in (
            lambda: driver.execute(WHO),
            lambda: driver.execute("SELECT 1 / 0"),
            lambda: driver.execute("no SQL at all"),
            lambda: driver.execute("SELECT %s, %s", [1]),
            *([] if autocommit else [cancel]),
            slow,
        ):
            with suppress(psycopg.Error):
                act()
            driver.rollback()
            assert left() == [login, "", "", "0"], act
    driver.autocommit = False
    driver.execute(WHO)
    driver.commit()
    assert left() == [login, "", "", "0"]
