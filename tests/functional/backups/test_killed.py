"""Processes that are killed or told to end in the middle of a backup and of a restore."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.functional.backups.world import ROOT, Place

# More than fits into the pipes between us and PostgreSQL's programs.
MANY_ROWS = (
    "INSERT INTO events (type, subject_type, actor_name, new) "
    "SELECT 'listing.created', 'listing', md5(n::text), jsonb_build_object('text', repeat(md5(n::text), 20)) "
    "FROM generate_series(1, 20000) n"
)


@contextmanager
def started(place: Place, *words: str | Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "marketplace_api.cli", *map(str, words)]
    environment = {**os.environ, **place.environment, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def held_up(place: Place, table: str) -> Iterator[psycopg.Connection[tuple[int]]]:
    """Nobody comes by this table until the block ends."""
    with psycopg.connect(place.environment["DATABASE_URL"]) as connection:
        connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")  # type: ignore[arg-type]
        yield connection
        connection.rollback()


def wait_until(place: Place, condition: str) -> None:
    """Returns once the server says so; fails if it does not."""
    deadline = time.monotonic() + 120
    while place.ask(f"SELECT ({condition})::int") != [(1,)]:
        assert time.monotonic() < deadline, condition
        time.sleep(0.02)


def waiting_for(table: str) -> str:
    # Databases that were cloned have tables of the same numbers.
    return (
        f"SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND relation = '{table}'::regclass "
        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )


def is_alone(place: Place) -> None:
    """Whoever else was connected is gone."""
    wait_until(
        place,
        "SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
        "AND application_name ~ 'backup|psql|pg_dump|boot'",
    )


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 1), (signal.SIGTERM, 1)])
def test_a_backup_that_is_ended(number: int, code: int, source: Place, target: Place, tmp_path: Path) -> None:
    source.ask(MANY_ROWS)
    folder = tmp_path / "backups"
    folder.mkdir()
    with started(source, "db", "backup", folder / "copy.tar") as process:
        with held_up(source, "users"):
            wait_until(source, waiting_for("users"))
            if number == signal.SIGTERM:
                rival = source.run("db", "backup", folder / "copy.tar")
                assert "Another process is writing" in rival.stderr
                assert rival.exit_code == 4
            process.send_signal(number)
            _out, told = process.communicate(timeout=60)
        assert process.returncode == code
    left = [path.name for path in folder.iterdir()]
    if number == signal.SIGKILL:
        assert left == ["copy.tar.part"]
    else:
        assert left == []
        assert told == f"Error: Interrupted: nothing is left of {folder / 'copy.tar'}.\n"
    is_alone(source)
    assert source.told("db", "backup", folder / "copy.tar")["rows"] >= 20000
    assert [path.name for path in folder.iterdir()] == ["copy.tar"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 1)])
def test_a_restore_that_is_ended(number: int, code: int, source: Place, target: Place, tmp_path: Path) -> None:
    source.ask(MANY_ROWS)
    source.told("db", "backup", tmp_path / "copy.tar")
    # The restore waits in the middle: nobody else may make the extension that it needs.
    with psycopg.connect(target.environment["DATABASE_URL"]) as other:
        other.execute("CREATE EXTENSION unaccent")
        with started(target, "db", "restore", tmp_path / "copy.tar") as process:
            wait_until(
                target,
                "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() "
                "AND application_name = 'psql' AND wait_event_type = 'Lock'",
            )
            process.send_signal(number)
            _out, told = process.communicate(timeout=60)
            assert process.returncode == code
        other.rollback()
    if number == signal.SIGINT:
        assert told.startswith("Error: Interrupted: the database is empty as before")
    is_alone(target)
    assert target.is_empty
    assert target.told("db", "restore", tmp_path / "copy.tar")["rows"] >= 20000


def test_a_server_that_ends_the_connection(source: Place, target: Place, tmp_path: Path) -> None:
    with started(source, "db", "backup", tmp_path / "copy.tar") as process:
        with held_up(source, "users"):
            wait_until(source, waiting_for("users"))
            source.ask(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pg_dump' "
                "AND datname = current_database()"
            )
            _out, told = process.communicate(timeout=60)
        assert process.returncode == 1
    assert "pg_dump gave up, and nothing was kept" in told
    assert len(told.splitlines()) == 1
    assert not list(tmp_path.glob("copy.tar*"))


@pytest.mark.usefixtures("marketplace")
def test_what_is_deleted_meanwhile_is_counted(source: Place, target: Place, tmp_path: Path) -> None:
    """The database is as it was at the beginning, the storage is not."""
    with started(source, "--json", "db", "backup", tmp_path / "copy.tar", "--with-files") as process:
        with held_up(source, "categories"):
            wait_until(source, waiting_for("categories"))
            ((full, card, thumb),) = source.ask(
                "DELETE FROM listing_photos WHERE photo_id = (SELECT max(photo_id) FROM listing_photos) "
                "RETURNING full_key, card_key, thumb_key"
            )
            source.ask(f"DELETE FROM files WHERE key IN ('{full}', '{card}', '{thumb}')")
            for key in (full, card, thumb):
                next((source.folder / "files").rglob(key)).unlink()
        out, told = process.communicate(timeout=60)
    assert (process.returncode, told) == (0, "")
    made = json.loads(out)
    assert (made["files"], made["files_included"], made["files_gone"]) == (7, 4, sorted([full, card, thumb]))
    assert target.told("db", "restore", tmp_path / "copy.tar", code=5)["files_missing"] == sorted([full, card, thumb])
