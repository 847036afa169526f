"""Every fault of the database and of what it holds is planted in real servers, and the doctor names it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass

import psycopg
import pytest

from marketplace_api.database.embedded_postgres import EmbeddedPostgres
from marketplace_api.gateways.storage import new_key
from tests.factories.accounts import make_user
from tests.unit.cli.faults import SECRET, Fault, Installation

HOURS = 3600
# Few connections, no autovacuum, and transactions that are old early: what is normal elsewhere is a fault here.
ODD = {
    "max_connections": "12",
    "autovacuum": "off",
    "autovacuum_freeze_max_age": "100000",
    "fsync": "off",
    "wal_level": "replica",
}


@pytest.fixture(scope="module")
def odd_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(tmp_path_factory.mktemp("odd") / "postgres", settings=ODD) as server:
        server.ensure_database()
        yield server


@dataclass
class Pair:
    """A primary and its replica."""

    primary: EmbeddedPostgres
    replica: EmbeddedPostgres


@pytest.fixture(scope="module")
def pair(odd_server: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("replica") / "postgres"
    folder.mkdir()
    source = tmp_path_factory.getbasetemp() / "odd0" / "postgres" / "password"
    shutil.copy(source, folder / "password")
    program = str(odd_server.bin_dir / "pg_basebackup")
    subprocess.run([program, "-d", odd_server.url(), "-D", str(folder / "data"), "-R", "-c", "fast"], check=True)
    with EmbeddedPostgres(folder, settings=ODD) as replica:
        yield Pair(odd_server, replica)


# The server.


def database_away(place: Installation) -> None:
    place.set(DATABASE_URL=f"postgresql://user:{SECRET}@127.0.0.1:1/x")


def database_refuses_the_password(place: Installation) -> None:
    place.set(DATABASE_URL=f"postgresql://marketplace:{SECRET}@{place.url.rpartition('@')[2]}")


def database_of_another_name(place: Installation) -> None:
    place.set(DATABASE_URL=place.url.replace(place.database, "there_is_none"))


def server_too_old(place: Installation) -> None:
    """The real server behind a wire on which it calls itself 14."""
    port = place.stack.enter_context(_Wire(int(place.url.rpartition(":")[2].partition("/")[0]))).port
    place.set(DATABASE_URL=place.url.rpartition(":")[0] + f":{port}/{place.database}")


def encoding_that_is_not_unicode(place: Installation) -> None:
    server = place.fixture("postgres_server")
    with suppress(psycopg.errors.DuplicateDatabase):
        place.sql(
            "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LOCALE_PROVIDER libc LOCALE 'C'",
            url=server.url("postgres"),
        )
    place.set(DATABASE_URL=server.url("latin"))


def times_of_another_zone(place: Installation) -> None:
    place.sql(f"ALTER DATABASE {place.database} SET timezone TO 'Europe/Berlin'")


def too_few_connections(place: Installation) -> None:
    place.set(DATABASE_URL=place.fixture("odd_server").url())


def limit_of_the_database(place: Installation) -> None:
    place.sql(f"ALTER DATABASE {place.database} CONNECTION LIMIT 9")


def autovacuum_off(place: Installation) -> None:
    place.set(DATABASE_URL=place.fixture("odd_server").url())


def old_transactions(place: Installation) -> None:
    url = place.fixture("odd_server").url()
    # Nothing that happens after the begin of a transaction that stays open can be frozen.
    held = place.stack.enter_context(psycopg.connect(url))
    held.execute("SELECT pg_current_xact_id()")
    # Every block with a handler is a transaction of its own.
    place.sql(
        "CREATE TABLE spent (id int)",
        "DO $$ BEGIN FOR i IN 1..250000 LOOP BEGIN INSERT INTO spent VALUES (i); "
        "EXCEPTION WHEN division_by_zero THEN NULL; END; IF i % 50000 = 0 THEN COMMIT; END IF; END LOOP; END $$",
        url=url,
    )
    place.set(DATABASE_URL=url)


def dead_rows(place: Installation) -> None:
    place.sql(
        "CREATE TABLE much_changed (id int)",
        "ALTER TABLE much_changed SET (autovacuum_enabled = off)",
        "INSERT INTO much_changed SELECT generate_series(1, 11000)",
        "DELETE FROM much_changed",
        "SELECT pg_stat_force_next_flush()",
    )


# Extensions and migrations.


def extension_dropped(place: Installation) -> None:
    place.sql("DROP EXTENSION btree_gist CASCADE")


def extension_not_installable(place: Installation) -> None:
    place.run("--yes", "db", "downgrade", "base")
    place.sql(f"ALTER DATABASE {place.database} SET extension_control_path = '/nowhere'")


def migration_behind(place: Installation) -> None:
    place.run("--yes", "db", "downgrade", "0008")


def never_migrated(place: Installation) -> None:
    place.run("--yes", "db", "downgrade", "base")


def migration_ahead(place: Installation) -> None:
    place.sql("UPDATE alembic_version SET version_num = '9999'")


def what_the_migrations_made_is_gone(place: Installation) -> None:
    """Several at once: each has its line."""
    place.sql(
        "DROP INDEX ix_listings_search_document",
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'uq_users_email'::regclass",
        "ALTER TABLE events DISABLE TRIGGER ALL",
        "ALTER TABLE reviews ADD CONSTRAINT later CHECK (rating < 99) NOT VALID",
    )


def the_log_can_be_rewritten(place: Installation) -> None:
    place.sql("GRANT UPDATE, TRUNCATE ON events_rest TO PUBLIC")


# The replica.


def replica_away(place: Installation) -> None:
    place.set(DATABASE_READ_URL=f"postgresql://user:{SECRET}@127.0.0.1:1/x")


def replica_is_another_database(place: Installation) -> None:
    place.set(DATABASE_READ_URL=place.fixture("odd_server").url())


def replica_is_the_primary(place: Installation) -> None:
    place.set(DATABASE_READ_URL=place.url)


def replica_lags(place: Installation) -> None:
    pair = place.fixture("pair")
    place.sql("SELECT pg_wal_replay_pause()", url=pair.replica.url())
    place.stack.callback(place.sql, "SELECT pg_wal_replay_resume()", url=pair.replica.url())
    place.sql(
        "CREATE TABLE much AS SELECT repeat(md5(i::text), 60) FROM generate_series(1, 12000) i",
        "DROP TABLE much",
        url=pair.primary.url(),
    )
    place.set(DATABASE_URL=pair.primary.url(), DATABASE_READ_URL=pair.replica.url())


# Work in progress.


def _job(place: Installation, values: str) -> None:
    place.sql(f"INSERT INTO procrastinate_jobs (queue_name, task_name, {values}")


def no_worker(place: Installation) -> None:
    place.sql("DELETE FROM procrastinate_workers")


def overdue_run(place: Installation) -> None:
    place.sql(
        "INSERT INTO schedule_runs (task, outcome, started_at, finished_at, next_due_at, error) "
        "VALUES ('recount', 'failed', now(), now(), now() - interval '40 minutes', 'KeyError')"
    )


def failed_job(place: Installation) -> None:
    _job(place, "status) VALUES ('default', 'handle_event', 'failed')")


def retried_job(place: Installation) -> None:
    _job(place, "status) VALUES ('mail', 'handle_event', 'doing')")
    place.sql(
        "SELECT procrastinate_retry_job_v2(id, now() + interval '1 hour', NULL, NULL, NULL) FROM procrastinate_jobs",
        "UPDATE procrastinate_events SET at = at - interval '40 minutes'",
    )


def no_admin(place: Installation) -> None:
    with place.databases.session() as session:
        make_user(session, roles=["admin"], state="suspended")
        session.commit()


def stalled_job(place: Installation) -> None:
    place.sql("INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - interval '1 hour')")
    _job(
        place,
        "status, worker_id) SELECT 'default', 'handle_event', 'doing', min(id) FROM procrastinate_workers "
        "WHERE last_heartbeat < now() - interval '30 minutes'",
    )


def job_that_waits_since_it_was_made(place: Installation) -> None:
    _job(place, "queueing_lock) VALUES ('default', 'handle_event', 'it')")
    place.sql("UPDATE procrastinate_events SET at = at - interval '40 minutes'")


def job_that_waits_since_it_was_due(place: Installation) -> None:
    _job(place, "scheduled_at) VALUES ('default', 'handle_event', now() - interval '40 minutes')")


def files_not_swept(place: Installation) -> None:
    place.sql(
        "INSERT INTO procrastinate_periodic_defers (task_name, periodic_id, defer_timestamp) "
        f"VALUES ('sweep_files', '', extract(epoch FROM now())::bigint - {4 * HOURS})"
    )


def _file(place: Installation, state: str, hours: int = 0) -> None:
    with place.databases.session() as session, session.begin():
        owner = make_user(session).user_id
    place.sql(
        "INSERT INTO files (key, kind, owner_id, content_type, size, sha256, state, date_created) VALUES "
        f"('{new_key('photo', 'webp')}', 'photo', {owner}, 'image/webp', 1, sha256(''), '{state}', "
        f"now() - interval '{hours} hours')"
    )


def upload_that_broke_off(place: Installation) -> None:
    _file(place, "pending", 5)


def lost_file(place: Installation) -> None:
    _file(place, "missing")


def files_of_somebody_else(place: Installation) -> None:
    key = new_key("photo", "webp")
    path = place.folder / "files" / "photo" / key[6:8] / key
    path.parent.mkdir(parents=True)
    path.write_bytes(b"picture")
    os.utime(path, (0, time.time() - 5 * HOURS))


def document_sealed_under_a_lost_key(place: Installation) -> None:
    _file(place, "stored")
    place.sql(
        "INSERT INTO verifications (user_id, document_type, document_name, media_type, file_key, key_id, envelope) "
        "SELECT owner_id, 'passport', 'mine.pdf', 'application/pdf', key, 'lost-2025', 'x' FROM files"
    )


def feed_held(place: Installation) -> None:
    held = place.stack.enter_context(psycopg.connect(place.url))
    add = "INSERT INTO events (type, subject_type, subject_id, date_created) VALUES ('listing.edited', 'listing', 1, "
    held.execute((add + "now())").encode())
    place.sql(add + "now() - interval '10 minutes')")


def event_outside_of_all_months(place: Installation) -> None:
    place.sql(
        "INSERT INTO events (type, subject_type, date_created) VALUES ('listing.edited', 'listing', '1999-01-01')"
    )


def _worker(place: Installation) -> None:
    place.sql("INSERT INTO procrastinate_workers DEFAULT VALUES")


FAULTS = (
    Fault(database_away, "database", "problem", "is not running there", "host and port in DATABASE_URL"),
    Fault(database_refuses_the_password, "database", "problem", "refused the password", "password in DATABASE_URL"),
    Fault(database_of_another_name, "database", "problem", "no database of that name", "mend the name"),
    Fault(
        what_the_migrations_made_is_gone,
        "schema",
        "problem",
        "ix_listings_search_document is gone",
        "as its migration did",
    ),
    Fault(
        the_log_can_be_rewritten, "roles", "problem", "could change what was recorded in events_rest", "REVOKE UPDATE"
    ),
    Fault(server_too_old, "database", "problem", "is version 14", "pgrade it"),
    Fault(encoding_that_is_not_unicode, "encoding", "problem", "LATIN1", "ENCODING 'UTF8'"),
    Fault(times_of_another_zone, "time zone", "warning", "Europe/Berlin", "SET timezone TO 'UTC'"),
    Fault(too_few_connections, "connections", "problem", " of 9;", "max_connections"),
    Fault(limit_of_the_database, "connections", "problem", " of 9;", "limit of database and role"),
    Fault(autovacuum_off, "vacuum", "warning", "autovacuum is off", "SET autovacuum = on"),
    Fault(old_transactions, "wraparound", "warning", "not frozen", "VACUUM (FREEZE"),
    Fault(dead_rows, "vacuum", "warning", "much_changed", "VACUUM (ANALYZE) much_changed"),
    Fault(
        extension_dropped, "extensions", "problem", "btree_gist is not in the database", "CREATE EXTENSION btree_gist;"
    ),
    Fault(extension_not_installable, "extensions", "problem", "lacks the extensions", "postgresql-contrib"),
    Fault(migration_behind, "migrations", "problem", "at 0008, but", "db upgrade"),
    Fault(never_migrated, "migrations", "problem", "at nothing, but", "db upgrade"),
    Fault(migration_ahead, "migrations", "warning", "older than the database", "Install the release"),
    Fault(replica_away, "replica", "problem", "is not running there", "DATABASE_READ_URL"),
    Fault(replica_is_another_database, "replica", "problem", "another database", "DATABASE_READ_URL"),
    Fault(replica_is_the_primary, "replica", "warning", "the primary itself", "DATABASE_READ_URL"),
    Fault(replica_lags, "replica", "warning", "s behind", "pg_stat_replication"),
    Fault(no_worker, "jobs", "warning", "no worker is running", "jobs run"),
    Fault(overdue_run, "schedule", "warning", "40 minutes ago; its last run: failed", "jobs schedule"),
    Fault(failed_job, "failed jobs", "warning", "1 failed", "jobs retry"),
    Fault(retried_job, "retried jobs", "warning", "1 in mail failed", "jobs retry --waiting"),
    Fault(no_admin, "admins", "warning", "no active account", "users set-role"),
    Fault(stalled_job, "stalled jobs", "warning", "no sign of life", "Start a worker"),
    Fault(job_that_waits_since_it_was_made, "oldest job", "warning", "40 minutes", "Start more workers"),
    Fault(job_that_waits_since_it_was_due, "oldest job", "warning", "40 minutes", "Start more workers"),
    Fault(files_not_swept, "file sweep", "warning", "every hour", "Start a worker"),
    Fault(upload_that_broke_off, "file sweep", "warning", "1 uploads", "jobs list"),
    Fault(lost_file, "lost files", "warning", "gone from the storage", "backup"),
    Fault(files_of_somebody_else, "stray files", "warning", "belong to no row", "belong together"),
    Fault(document_sealed_under_a_lost_key, "document keys", "problem", "1 sealed under lost-2025", "DOCUMENT_KEYS"),
    Fault(feed_held, "event feed", "warning", "since 10 minutes waits", "pg_terminate_backend"),
    Fault(event_outside_of_all_months, "event months", "warning", "outside of all months", "make_event_months()"),
)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_planted_fault_is_found(fault: Fault, installation: Installation) -> None:
    _worker(installation)
    fault.hold(installation)


def test_with_a_worker_nothing_at_all_is_to_be_told(installation: Installation) -> None:
    _worker(installation)
    assert [row for row in installation.findings("--strict") if row["state"] != "ok"] == []


def test_a_replica_that_follows_is_fine(installation: Installation, pair: Pair) -> None:
    installation.set(DATABASE_URL=pair.primary.url(), DATABASE_READ_URL=pair.replica.url())
    assert [row["state"] for row in installation.findings() if row["check"] == "replica"] == ["ok"]


class _Wire:
    """Passes a connection on to the server at ``target``, whose version it makes 14."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._threads = ExitStack()

    def __enter__(self) -> _Wire:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._threads.close()

    def _start(self, target: object, *words: object) -> None:
        thread = threading.Thread(target=target, args=words, daemon=True)  # type: ignore[arg-type]
        thread.start()
        self._threads.callback(thread.join, 5)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                self._start(self._pass, client, server)
                self._start(self._pass, server, client)

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError), source:
            while data := source.recv(65536):
                sink.sendall(data.replace(b"server_version\x0018", b"server_version\x0014"))
            sink.shutdown(socket.SHUT_WR)
