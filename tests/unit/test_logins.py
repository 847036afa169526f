"""As whom the application logs in, and what it is told where that does not do."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
import sqlalchemy as sa

from marketplace_api import boot
from marketplace_api.config.settings import Settings
from marketplace_api.database import migrations
from marketplace_api.database.embedded_postgres import EmbeddedPostgres
from marketplace_api.database.engines import Databases, driver_url
from marketplace_api.database.row_security import APP_ROLE
from tests.support import postgres

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def login(postgres_server: EmbeddedPostgres, committed_databases: Databases) -> Iterator[str]:
    """The URL of the database for a login that may do nothing yet."""
    name = f"login_{uuid4().hex[:12]}"
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as owner:
        owner.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'secretpw'")  # type: ignore[call-overload]
        url = driver_url(committed_databases.owner_url).set(drivername="postgresql", username=name, password="secretpw")
        yield url.render_as_string(hide_password=False)
        owner.execute(f"DROP ROLE {name}")  # type: ignore[call-overload]


def _run(databases: Databases, statement: str) -> None:
    with psycopg.connect(databases.owner_url, autocommit=True) as owner:
        owner.execute(statement)  # type: ignore[call-overload]


def test_a_login_that_is_no_member_is_told_what_is_missing(settings: Settings, login: str) -> None:
    with pytest.raises(boot.BootError, match=rf"GRANT {APP_ROLE} TO .login_") as caught:
        boot.open_databases(replace(settings, database_url=login))
    assert "secretpw" not in str(caught.value)


def test_a_mere_member_is_all_that_the_application_needs(
    settings: Settings, login: str, committed_databases: Databases
) -> None:
    _run(committed_databases, f"GRANT {APP_ROLE} TO {driver_url(login).username}")
    strict = replace(settings, database_url=login, database_owner_url=committed_databases.owner_url)
    with boot.opened(strict) as databases:
        assert boot.connection_url(databases) == committed_databases.owner_url
        with databases.session() as session:
            assert session.execute(sa.text("SELECT current_user, count(*) FROM sessions")).one() == (APP_ROLE, 0)
    facts = boot.login_facts(strict)
    assert facts is not None
    assert (facts.is_strict, facts.has_app_role, facts.may_become) == (True, True, True)
    assert (facts.unprotected, facts.unreadable) == ((), ())


def test_what_is_amiss_is_found(settings: Settings, committed_databases: Databases) -> None:
    owner = replace(settings, database_url=committed_databases.owner_url)
    facts = boot.login_facts(owner)
    assert facts is not None
    assert (facts.is_superuser, facts.owns_tables, facts.is_strict) == (True, True, False)
    _run(committed_databases, "ALTER TABLE messages DISABLE ROW LEVEL SECURITY")
    _run(committed_databases, "CREATE TABLE later (id integer)")
    _run(committed_databases, f"REVOKE ALL ON later FROM {APP_ROLE}")
    facts = boot.login_facts(owner)
    assert facts is not None
    assert (facts.unprotected, facts.unreadable) == (("messages",), ("later",))


def test_an_owner_who_may_not_make_roles_is_told_what_to_ask_for(
    login: str, committed_databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    boot.check_role(login)  # somebody made the role before
    monkeypatch.setattr(boot, "APP_ROLE", "not_made_yet")
    with pytest.raises(boot.BootError, match="CREATE ROLE not_made_yet NOLOGIN; GRANT not_made_yet TO"):
        boot.check_role(login)


def test_an_owner_who_is_no_superuser_migrates_and_serves(
    settings: Settings, postgres_server: EmbeddedPostgres, login: str
) -> None:
    """One URL for all, as hosting providers give it: the owner of the database becomes the application's role."""
    name, owner = f"hosted_{uuid4().hex[:12]}", driver_url(login).username
    postgres_server.ensure_database(name)
    with psycopg.connect(postgres_server.url(name), autocommit=True) as superuser:
        superuser.execute(f"ALTER ROLE {owner} CREATEROLE")  # type: ignore[call-overload]
        superuser.execute(f"GRANT {APP_ROLE} TO {owner}")  # type: ignore[call-overload]
        superuser.execute(f"ALTER DATABASE {name} OWNER TO {owner}")  # type: ignore[call-overload]
    url = driver_url(login).set(drivername="postgresql", database=name).render_as_string(hide_password=False)
    try:
        boot.upgrade(url)
        with boot.opened(replace(settings, database_url=url)) as databases, databases.session() as session:
            assert session.execute(sa.text("SELECT current_user, count(*) FROM users")).one() == (APP_ROLE, 0)
        migrations.downgrade(url, "base")
    finally:
        postgres.drop_database(postgres_server, name)


def test_many_databases_of_one_server_are_migrated_at_once(postgres_server: EmbeddedPostgres) -> None:
    """Each in a process of its own, as Alembic wants it."""
    names = [f"at_once_{uuid4().hex[:12]}" for _ in range(2)]
    urls = [postgres_server.ensure_database(name) for name in names]
    try:
        for words in (("upgrade", "head"), ("downgrade", "0012"), ("upgrade", "head")):
            command = [sys.executable, "-m", "alembic", "-c", "production.ini", *words]
            running = [
                subprocess.Popen(command, cwd=ROOT, env={**os.environ, "DATABASE_URL": url}, stderr=subprocess.PIPE)
                for url in urls
            ]
            for process in running:
                _, told = process.communicate(timeout=120)
                assert process.returncode == 0, told.decode()
    finally:
        for name in names:
            postgres.drop_database(postgres_server, name)


def test_the_embedded_server_has_a_login_of_the_application_s(postgres_server: EmbeddedPostgres) -> None:
    url = postgres_server.ensure_service(APP_ROLE)
    assert postgres_server.ensure_service(APP_ROLE) == url == postgres_server.service_url()
    place = driver_url(url).set(drivername="postgresql", database="postgres").render_as_string(hide_password=False)
    with psycopg.connect(place, options=f"-c role={APP_ROLE}") as service:
        facts = service.execute(
            "SELECT session_user, current_user, rolsuper, rolcreaterole, rolbypassrls FROM pg_roles "
            "WHERE rolname = session_user"
        ).fetchone()
    assert facts == ("marketplace_service", APP_ROLE, False, False, False)
