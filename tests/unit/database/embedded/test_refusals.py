"""What stands in the way of the embedded PostgreSQL is explained."""

import pwd
import subprocess
import sys
import time
from pathlib import Path

import pytest

from marketplace_api.database.embedded_postgres import EmbeddedPostgres, EmbeddedPostgresError
from tests.unit.database.embedded.world import HOLDER, REPOSITORY, Make, ask, hold


def test_another_major_version_is_refused_with_both_named(base: Path) -> None:
    (base / "data").mkdir()
    (base / "data" / "PG_VERSION").write_text("12\n")
    (base / "password").write_text("secret")
    named = r"made by PostgreSQL 12, but .* holds PostgreSQL 18: set PG_BIN .* or move .* away"
    with pytest.raises(EmbeddedPostgresError, match=named):
        EmbeddedPostgres(base).start()


def test_a_lost_password_is_explained(base: Path) -> None:
    (base / "data").mkdir()
    (base / "data" / "PG_VERSION").write_text("18\n")
    with pytest.raises(EmbeddedPostgresError, match="password is missing: put it back"):
        EmbeddedPostgres(base).start()


def test_a_wrong_password_is_explained(make: Make, folder: Path) -> None:
    password = (folder / "password").read_text()
    (folder / "password").write_text("not-the-password")
    try:
        with pytest.raises(EmbeddedPostgresError, match="password authentication failed"):
            make().start()
    finally:
        (folder / "password").write_text(password)


def test_a_wrong_setting_is_explained(folder: Path) -> None:
    server = EmbeddedPostgres(folder, settings={"no_such_setting": "1"})
    with pytest.raises(EmbeddedPostgresError, match="unrecognized configuration parameter"):
        server.start()


def test_files_that_are_no_cluster_are_left_alone(base: Path) -> None:
    (base / "postgres" / "data").mkdir(parents=True)
    (base / "postgres" / "data" / "holiday.jpg").touch()
    with pytest.raises(EmbeddedPostgresError, match="no cluster: move them away"):
        EmbeddedPostgres(base / "postgres").start()
    assert (base / "postgres" / "data" / "holiday.jpg").exists()


def test_a_file_in_the_way_is_explained(base: Path) -> None:
    (base / "file").touch()
    with pytest.raises(EmbeddedPostgresError, match=r"cannot use the folder .*/file/postgres .*choose another"):
        EmbeddedPostgres(base / "file" / "postgres").start()


def test_a_folder_one_may_not_write_is_explained(base: Path) -> None:
    nobody = pwd.getpwnam("nobody").pw_uid
    change_user = f"import os; os.getuid() == 0 and os.setuid({nobody})\n"
    (base / "closed").mkdir()
    (base / "closed").chmod(0o555)
    done = subprocess.run(
        # Imports come before the change: this Python may lie where only its user can read.
        [sys.executable, "-c", HOLDER.replace("folder =", change_user + "folder ="), base / "closed" / "new"],
        check=False,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert "EmbeddedPostgresError: PostgreSQL cannot use the folder" in done.stderr
    assert "Permission denied" in done.stderr


def test_an_interrupted_initdb_leaves_nothing_behind(make: Make, base: Path) -> None:
    folder = base / "new"
    process = hold(folder)
    deadline = time.monotonic() + 20
    while not [*folder.glob("data.new-*/data/PG_VERSION")] and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    process.communicate()
    assert not (folder / "data").exists()
    assert ask(make(folder).start()) == 1
    assert not [*folder.glob("data.new-*")]
