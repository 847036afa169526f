"""Every migration runs both ways, on an empty database and on a full one, and ends where the models are."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory

from marketplace_api.database import migrations
from marketplace_api.database.embedded_postgres import EmbeddedPostgres
from marketplace_api.database.engines import driver_url
from tests.support import postgres

ROOT = Path(__file__).resolve().parents[3]
# All that a schema can hold and that an extension did not bring.
OBJECTS = """
SELECT 'relation ' || relname FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'S', 'i', 'I')
    AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_class.oid AND deptype = 'e')
UNION ALL SELECT 'function ' || oid::regprocedure || md5(regexp_replace(prosrc, '[[:space:]]+', '', 'g')) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_proc.oid AND deptype = 'e')
UNION ALL SELECT 'type ' || typname FROM pg_type WHERE typnamespace = 'public'::regnamespace AND typtype IN ('e', 'd')
    AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_type.oid AND deptype = 'e')
UNION ALL SELECT 'check ' || conname || pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace AND contype = 'c'
UNION ALL SELECT 'expected ' || attrelid::regclass || attname || attoptions::text FROM pg_attribute
    JOIN pg_class ON pg_class.oid = attrelid WHERE relnamespace = 'public'::regnamespace AND attoptions IS NOT NULL
UNION ALL SELECT 'text search ' || cfgname FROM pg_ts_config WHERE cfgnamespace = 'public'::regnamespace
"""
DATA = (
    "INSERT INTO users (username, email, roles) "
    "VALUES ('ada', 'ada@people.example', '{customer}'), ('bob', 'bob@people.example', '{customer}')",
    "INSERT INTO listings "
    "(user_id, title, description, category, price, currency, city, latitude, longitude, amenities) "
    "SELECT user_id, 'Bicycle ' || n, 'Light.', 'bicycles', n, 'EUR', 'Berlin', 52.5, 13.4, '{lights}' "
    "FROM users, generate_series(1, 20) AS n",
    "INSERT INTO events (type, subject_type, subject_id, new) "
    "SELECT 'listing.created', 'listing', listing_id, '{}' FROM listings",
    "INSERT INTO sessions (user_id, refresh_hash, refresh_nonce, expires_at) "
    "SELECT user_id, sha256(username::bytea), sha256('x')::bytea, now() + interval '1 day' FROM users",
)


@pytest.fixture
def url(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    """An empty database."""
    name = f"migrations_{uuid4().hex[:12]}"
    yield postgres_server.ensure_database(name)
    postgres.drop_database(postgres_server, name)


class Database:
    """One database, looked at from outside of any migration."""

    def __init__(self, url: str) -> None:
        self.engine = sa.create_engine(driver_url(url), poolclass=sa.pool.NullPool, isolation_level="AUTOCOMMIT")

    def run(self, *statements: str) -> None:
        with self.engine.connect() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    def rows(self, statement: str) -> list[Any]:
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.exec_driver_sql(statement)]

    def objects(self) -> set[str]:
        return {name for (name,) in self.rows(OBJECTS)} - {"relation alembic_version", "relation alembic_version_pkc"}

    def revision(self) -> str | None:
        with self.engine.connect() as connection:
            return migrations.current(connection)


def _revisions() -> list[str]:
    """From the first to the newest."""
    script = ScriptDirectory(str(migrations.FOLDER))
    return [revision.revision for revision in reversed(list(script.walk_revisions()))]


def test_there_is_one_line_of_revisions() -> None:
    script = ScriptDirectory(str(migrations.FOLDER))
    assert script.get_heads() == [migrations.head()]
    assert len(script.get_bases()) == 1
    assert all(revision.doc.strip().endswith(".") for revision in script.walk_revisions())


def test_up_and_down_and_up_again_ends_where_it_began(url: str) -> None:
    database = Database(url)
    migrations.upgrade(url)
    first = database.objects()
    assert {"relation users", "relation listings", "relation events", "relation procrastinate_jobs"} <= first
    migrations.downgrade(url, "base")
    assert database.objects() == set()
    assert database.revision() is None
    migrations.upgrade(url)
    assert database.objects() == first
    assert database.revision() == migrations.head()


def test_each_step_down_takes_back_what_its_step_up_made(url: str) -> None:
    database = Database(url)
    before: dict[str, set[str]] = {}
    for revision in _revisions():
        before[revision] = database.objects()
        migrations.upgrade(url, revision)
        assert database.revision() == revision
        assert database.objects() != before[revision]
    for revision in reversed(_revisions()):
        migrations.downgrade(url, "-1")
        assert database.objects() == before[revision], f"the way down of {revision}"


def test_a_full_database_goes_down_step_by_step_and_keeps_what_the_step_does_not_own(url: str) -> None:
    database = Database(url)
    migrations.upgrade(url)
    database.run(*DATA)
    kept = "SELECT user_id, title, price, city, version FROM listings ORDER BY listing_id"
    accounts = "SELECT user_id, username, email, roles, state, rating_count, version FROM users ORDER BY user_id"
    listings, people = database.rows(kept), database.rows(accounts)
    counts = "SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM sessions)"
    found = database.rows(counts)
    assert len(listings) == 40
    for revision in reversed(_revisions()[1:]):
        migrations.downgrade(url, "-1")
        assert database.rows(kept) == listings, f"the way down of {revision}"
        assert database.rows(accounts) == people
        assert database.rows(counts) == found
    migrations.upgrade(url)
    assert database.rows(kept) == listings
    migrations.check(url)


def test_search_works_on_listings_that_were_there_before_it(url: str) -> None:
    """The counters of search are made from what the step up finds."""
    database = Database(url)
    migrations.upgrade(url)
    database.run(*DATA)
    terms = (
        "SELECT kind, term, sum(count) FROM (SELECT kind, term, count FROM search_terms UNION ALL "
        "SELECT kind, term, delta FROM search_term_deltas) AS parts "
        "GROUP BY kind, term HAVING sum(count) <> 0 ORDER BY kind, term"
    )
    counted = database.rows(terms)
    assert len(counted) > 5
    migrations.downgrade(url, _revisions()[0])
    migrations.upgrade(url)
    assert database.rows(terms) == counted


def test_pictures_of_people_forget_where_the_service_was(url: str) -> None:
    """A picture of ours becomes a path; an address elsewhere stays."""
    database = Database(url)
    migrations.upgrade(url)
    database.run(*DATA)
    migrations.downgrade(url, "0016")
    keys = [f"picture-{'0' * 32}-{size}.webp" for size in ("card", "thumb")]
    ours, theirs = f"https://old.example/files/{keys[0]}", "https://photos.example/bob.jpg"
    stored = "INSERT INTO files (key, kind, owner_id, content_type, size, sha256, state) SELECT '{}', 'picture', "
    database.run(
        *(f"{stored.format(key)} min(user_id), 'image/webp', 1, sha256('x'), 'stored' FROM users" for key in keys),
        f"INSERT INTO user_pictures (user_id, card_key, thumb_key, url) "
        f"SELECT min(user_id), '{keys[0]}', '{keys[1]}', '{ours}' FROM users",
        f"UPDATE users SET profile_picture_url = CASE username WHEN 'ada' THEN '{ours}' ELSE '{theirs}' END",
    )
    migrations.upgrade(url)
    shown = "SELECT profile_picture_url FROM users ORDER BY user_id"
    assert database.rows(shown) == [(f"/files/{keys[0]}",), (theirs,)]


def test_a_full_database_goes_down_to_nothing(url: str) -> None:
    database = Database(url)
    migrations.upgrade(url)
    database.run(*DATA)
    migrations.downgrade(url, "base")
    assert database.objects() == set()
    migrations.upgrade(url)
    assert database.rows("SELECT count(*) FROM users") == [(0,)]


def test_the_models_and_the_migrated_schema_do_not_differ(url: str) -> None:
    migrations.upgrade(url)
    migrations.check(url)


def test_a_difference_would_be_found(url: str) -> None:
    """The check before this one is worth what it can see."""
    from alembic.util import CommandError

    migrations.upgrade(url)
    Database(url).run("ALTER TABLE users DROP COLUMN bio")
    with pytest.raises(CommandError, match="bio"):
        migrations.check(url)


def test_a_migration_that_fails_leaves_nothing_half_done(url: str) -> None:
    database = Database(url)
    migrations.upgrade(url, _revisions()[0])
    before = database.objects()
    database.run("CREATE TABLE search_terms (in_the_way integer)")
    with pytest.raises(sa.exc.ProgrammingError, match="search_terms"):
        migrations.upgrade(url)
    assert database.revision() == _revisions()[0]
    assert database.objects() == before | {"relation search_terms"}
    database.run("DROP TABLE search_terms")
    migrations.upgrade(url)
    assert database.revision() == migrations.head()


def test_the_event_log_can_only_grow(url: str) -> None:
    database = Database(url)
    migrations.upgrade(url)
    database.run(*DATA)
    for statement in ("UPDATE events SET reason = 'x'", "DELETE FROM events", "TRUNCATE events"):
        with pytest.raises(sa.exc.DBAPIError):
            database.run(statement)
    assert database.rows("SELECT count(*) FROM events") == [(40,)]


@pytest.mark.parametrize("ini", ["development.ini", "production.ini"])
def test_the_console_s_alembic_finds_the_revisions_by_the_ini(ini: str, url: str) -> None:
    def alembic(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        known = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
        return subprocess.run(
            [sys.executable, "-m", "alembic", "-c", ini, *words],
            cwd=ROOT,
            env={**known, **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    assert f"{migrations.head()} (head)" in alembic("heads").stdout
    done = alembic("upgrade", "head", DATABASE_URL=url)
    assert done.returncode == 0, done.stderr
    assert Database(url).revision() == migrations.head()
    assert alembic("check", DATABASE_URL=url).returncode == 0
    assert alembic("downgrade", "base", DATABASE_URL=url).returncode == 0
    assert Database(url).objects() == set()
    lost = alembic("current")
    assert lost.returncode != 0
    assert "DATABASE_URL" in lost.stderr and "Traceback" not in lost.stderr
