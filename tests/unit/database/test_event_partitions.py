"""The log lies in months: they are made ahead and dropped whole, and no row in them is ever changed."""

from __future__ import annotations

from dataclasses import replace

import psycopg
import pytest
import sqlalchemy as sa

from marketplace_api.config.settings import Settings
from marketplace_api.database import migrations
from marketplace_api.database.engines import Databases, libpq_url
from marketplace_api.gateways.email import make_mailer
from marketplace_api.jobs.eventlog.maintenance import keep_event_months
from marketplace_api.jobs.services import Services
from marketplace_api.models.kernel.events import Event

BEFORE = "0016"
PARTS = "SELECT relname::text FROM pg_inherits JOIN pg_class ON oid = inhrelid WHERE inhparent = 'events'::regclass"
ADD = "INSERT INTO events (type, subject_type, subject_id, date_created) VALUES ('listing.edited', 'listing', 1, %s)"


@pytest.fixture
def owner(committed_databases: Databases) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(libpq_url(committed_databases.owner_url), autocommit=True)


def _parts(owner: psycopg.Connection[tuple[object, ...]]) -> set[object]:
    return {name for (name,) in owner.execute(PARTS)}


def test_a_full_log_moves_into_months_and_out_of_them(committed_databases: Databases) -> None:
    url = committed_databases.owner_url
    migrations.downgrade(url, BEFORE)
    everything = "SELECT * FROM events ORDER BY event_id"
    with psycopg.connect(libpq_url(url), autocommit=True) as owner:
        for at in ("2024-02-29 23:59:59+00", "2024-03-01 00:30:00+01", "2024-03-01+00", "now", "2999-01-01+00"):
            owner.execute(ADD, [at])
        rows = owner.execute(everything).fetchall()
        migrations.upgrade(url)
        assert owner.execute(everything).fetchall() == rows
        assert {"events_rest", "events_2024_02", "events_2024_03", "events_2999_01"} <= _parts(owner)
        assert owner.execute("SELECT count(*) FROM events_2024_02").fetchone() == (2,)
        migrations.check(url)
        owner.execute(ADD, ["now"])
        assert owner.execute("SELECT max(event_id) FROM events").fetchone() == (len(rows) + 1,)
        migrations.downgrade(url, BEFORE)
        assert owner.execute(everything).fetchall()[:-1] == rows
        owner.execute(ADD, ["now"])
        assert owner.execute("SELECT max(event_id) FROM events").fetchone() == (len(rows) + 2,)
        with pytest.raises(psycopg.errors.RestrictViolation):
            owner.execute("DELETE FROM events")


def test_nobody_changes_a_month(committed_databases: Databases, owner: psycopg.Connection[tuple[object, ...]]) -> None:
    owner.execute(ADD, ["now"])
    owner.execute(ADD, ["1999-01-01"])
    with (
        owner,
        psycopg.connect(
            libpq_url(committed_databases.owner_url), autocommit=True, options="-c role=marketplace_app"
        ) as app,
    ):
        for part in _parts(owner):
            for statement in (
                f"UPDATE {part} SET reason = 'x'",
                f"DELETE FROM {part}",
                f"TRUNCATE {part}",
                f"INSERT INTO {part} SELECT * FROM events LIMIT 0",
            ):
                with pytest.raises(psycopg.errors.RestrictViolation):
                    owner.execute(statement.encode())
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    app.execute(statement.encode())
        for statement in ("DROP TABLE events_rest", "SELECT make_event_month(now())"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute(statement.encode())
    assert owner.closed


def test_months_are_made_ahead_and_take_what_came_too_early(owner: psycopg.Connection[tuple[object, ...]]) -> None:
    with owner:
        assert owner.execute("SELECT make_event_months()").fetchone() == (0,)
        next_month = "SELECT date_trunc('month', now(), 'UTC') + interval '1 month'"
        (at,) = owner.execute(next_month).fetchone() or (None,)
        name = f"events_{at:%Y_%m}"
        assert name in _parts(owner)
        owner.execute(f"DROP TABLE {name}".encode())
        owner.execute(ADD, [at])
        assert owner.execute("SELECT count(*) FROM events_rest").fetchone() == (1,)
        assert owner.execute("SELECT make_event_months()").fetchone() == (1,)
        assert owner.execute(f"SELECT count(*) FROM {name}".encode()).fetchone() == (1,)
        assert owner.execute("SELECT count(*) FROM events_rest").fetchone() == (0,)
        # No worker was there for long: also what happened in months that are over finds its own, and can go one day.
        for at in ("2021-01-31 23:59:59+00", "2021-02-01 00:30:00+01", "2021-02-01+00"):
            owner.execute(ADD, [at])
        assert owner.execute("SELECT make_event_months()").fetchone() == (2,)
        assert owner.execute("SELECT count(*) FROM events_2021_01").fetchone() == (2,)
        assert owner.execute("SELECT count(*) FROM events_rest").fetchone() == (0,)
        with pytest.raises(psycopg.errors.RestrictViolation):
            owner.execute("DELETE FROM events_rest")


def test_an_id_is_found_by_its_index_in_each_month(committed_databases: Databases) -> None:
    with committed_databases.session() as session:
        event = Event(type="listing.edited", subject_type="listing", subject_id=1)
        session.add(event)
        session.commit()
        session.expunge_all()
        assert session.get_one(Event, event.event_id).subject_id == 1
        plan = session.execute(
            sa.text("EXPLAIN SELECT * FROM events WHERE event_id = :id"), {"id": event.event_id}
        ).scalars()
        assert "Seq Scan" not in "\n".join(line for line in plan if "events_rest" not in line)


def test_old_months_go_whole_and_on_the_record(
    committed_databases: Databases, owner: psycopg.Connection[tuple[object, ...]], settings: Settings
) -> None:
    services = Services(replace(settings, events_keep_months=12), make_mailer(settings))
    with owner, committed_databases.session() as session:
        owner.execute("SELECT make_event_month(now() - n * interval '1 month') FROM unnest(ARRAY[12, 13, 14]) AS n")
        owner.execute(
            "INSERT INTO events (type, subject_type, date_created) SELECT 'user.edited', 'user', date_trunc('month', now(), 'UTC') "
            "+ interval '3 days' - n * interval '1 month' FROM unnest(ARRAY[12, 13, 13, 14]) AS n"
        )
        before = _parts(owner)
        keep_event_months(session, services)
        gone = sorted(f"{name}"[7:].replace("_", "-") for name in before - _parts(owner))
        assert len(gone) == 2
        dropped = sa.select(Event.new).where(Event.type == "event.month_dropped").order_by(Event.event_id)
        assert session.scalars(dropped).all() == [
            {"month": gone[0], "events": 1, "last_id": 4},
            {"month": gone[1], "events": 2, "last_id": 3},
        ]
        with pytest.raises(sa.exc.DBAPIError, match="at least 12 months"):
            session.execute(sa.text("SELECT drop_event_month(11)"))
