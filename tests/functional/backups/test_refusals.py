"""What is damaged, does not fit or would overwrite anything is refused in a sentence, and nothing has changed."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from marketplace_api.backup.pg_tools import Process, find_matching
from marketplace_api.database.row_security import APP_ROLE
from tests.functional.backups.world import MakePlace, Marketplace, Place

pytestmark = pytest.mark.usefixtures("marketplace")


@pytest.fixture
def copy(source: Place, marketplace: Marketplace, tmp_path: Path) -> Path:
    """A backup with files."""
    path = tmp_path / "copy.tar"
    source.told("db", "backup", path, "--with-files")
    return path


def members(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        return {item.name: archive.extractfile(item).read() for item in archive}  # type: ignore[union-attr]


def pack(path: Path, contents: dict[str, bytes]) -> None:
    """A tar archive with the sums that belong to it."""
    named = [name for name in contents if "/" not in name and name != "SHA256SUMS"]
    contents["SHA256SUMS"] = "".join(f"{sha256(contents[name]).hexdigest()}  {name}\n" for name in named).encode()
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        for name, content in contents.items():
            item = tarfile.TarInfo(name)
            item.size = len(content)
            archive.addfile(item, BytesIO(content))


@contextmanager
def changed_manifest(path: Path) -> Iterator[dict[str, Any]]:
    contents = members(path)
    manifest = json.loads(contents["manifest.json"])
    yield manifest
    pack(path, {**contents, "manifest.json": json.dumps(manifest).encode()})


def assert_refused(target: Place, path: Path, told: str, code: int = 1) -> None:
    result = target.run("db", "restore", path)
    assert result.exit_code == code, result.output
    assert told in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert "Traceback" not in result.output
    assert target.is_empty


def test_standard_tools_can_look_into_it(copy: Path, source: Place) -> None:
    contents = members(copy)
    assert list(contents)[:2] == ["database.dump", "files.jsonl"]
    assert list(contents)[-2:] == ["manifest.json", "SHA256SUMS"]
    assert contents["database.dump"].startswith(b"PGDMP")
    assert {name.removeprefix("files/"): data for name, data in contents.items() if "/" in name} == source.files
    assert copy.stat().st_mode & 0o777 == 0o600
    tables = json.loads(contents["manifest.json"])["tables"]
    assert tables["public.listings"]["rows"] == 3
    assert {"public.alembic_version", "public.procrastinate_jobs"} < tables.keys()
    assert source.told("db", "verify", copy)["files_included"] == 7


@pytest.mark.parametrize("part", ["database.dump", "files.jsonl", "files/", "manifest.json", "SHA256SUMS"])
def test_one_changed_byte_is_found_wherever_it_is(part: str, copy: Path, target: Place) -> None:
    with tarfile.open(copy) as archive:
        item = next(item for item in archive if item.name.startswith(part))
        place = item.offset_data + item.size // 2
    with copy.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)
        file.seek(place)
        file.write(bytes([byte[0] ^ 1]))
    assert target.run("db", "verify", copy).exit_code == 1
    assert_refused(target, copy, "is damaged")
    assert not target.folder.joinpath("files").exists()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_what_is_cut_short_is_refused(share: float, copy: Path, target: Place) -> None:
    os.truncate(copy, int(copy.stat().st_size * share))
    assert_refused(target, copy, "is damaged")


def test_a_dump_that_ends_early_leaves_the_database_empty(copy: Path, target: Place) -> None:
    """As if pg_dump itself had been cut off, and all sums were right."""
    contents = members(copy)
    pack(copy, {**contents, "database.dump": contents["database.dump"][: -len(contents["database.dump"]) // 3]})
    assert_refused(target, copy, "nothing was restored")


def test_a_dump_that_commits_by_itself_leaves_the_database_empty(copy: Path, source: Place, target: Place) -> None:
    source.ask("SELECT lo_create(0)")
    assert source.told("db", "backup", copy, "--with-files", "--yes")["files_included"] == 7
    contents = members(copy)
    url = source.environment["DATABASE_URL"]
    with Process(
        find_matching(18, "To dump").folder / "pg_dump", "--format=custom", "--large-objects", url=url
    ) as dump:
        committing = dump.output.read()
    path = copy.with_name("committing.tar")
    pack(path, {**contents, "database.dump": committing})
    assert_refused(target, path, "the_dump_commits_by_itself")
    target.told("db", "restore", copy)


def test_rows_that_are_not_those_of_the_manifest_leave_the_database_empty(copy: Path, target: Place) -> None:
    with changed_manifest(copy) as manifest:
        manifest["tables"]["public.users"]["checksum"] = "1"
        manifest["tables"]["public.listings"]["rows"] = 4
        manifest["tables"]["public.lost"] = {"rows": 0, "checksum": "0"}
    assert_refused(
        target, copy, "public.listings has 3 rows, the backup 4; public.lost is missing; public.users has as many rows"
    )
    assert target.files.keys() == {name.removeprefix("files/") for name in members(copy) if "/" in name}


UNFIT = (
    ("roles", ["nobody_knows_me"], 'CREATE ROLE "nobody_knows_me";'),
    ("extensions", {"no_such_extension": "1.0"}, "The server lacks no_such_extension"),
    ("pg_dump", "99.1", "needs pg_dump, pg_restore and psql of PostgreSQL 99 or newer"),
    ("server", "99.1", "restore into version 99 or newer"),
    ("migration", "9999", "migration 9999, which this version does not know: install marketplace-api"),
    ("format", 2, "newer version of this program"),
    ("format", None, "manifest.json cannot be understood"),
)


def test_what_does_not_fit_is_refused(copy: Path, target: Place) -> None:
    original = copy.read_bytes()
    for name, value, told in UNFIT:
        copy.write_bytes(original)
        with changed_manifest(copy) as manifest:
            manifest[name] = value
        assert_refused(target, copy, told)
    copy.write_bytes(b"PGDMP and so on" * 100)
    assert_refused(target, copy, "is damaged")


def test_nothing_is_overwritten(copy: Path, source: Place, target: Place, make_place: MakePlace) -> None:
    again = source.run("db", "backup", copy)
    assert (again.exit_code, "is there already" in again.stderr) == (4, True)
    assert not copy.with_name("copy.tar.part").exists()
    copy.with_name("old.tar").write_bytes(b"old")
    source.told("--yes", "db", "backup", copy.with_name("old.tar"))
    source.told("db", "verify", copy.with_name("old.tar"))
    full = source.run("db", "restore", copy)
    assert full.exit_code == 4
    assert "is not empty" in full.stderr
    assert "createdb" in full.stderr

    target.told("db", "restore", copy)
    same_files = make_place("second")
    same_files.environment["DATA_DIR"] = str(target.folder)
    same_files.told("db", "restore", copy)
    assert target.files == source.files

    third = make_place("third")
    third.environment["DATA_DIR"] = str(target.folder)
    stray = target.folder / "files" / "photo" / "00" / f"photo-{'0' * 32}-full.webp"
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"somebody else's")
    assert_refused(third, copy, "1 files that the backup does not know", code=4)
    third.told("db", "restore", copy, "--beside-other-files")
    assert stray.read_bytes() == b"somebody else's"
    stray.unlink()

    fourth = make_place("fourth")
    fourth.environment["DATA_DIR"] = str(target.folder)
    mine = next((target.folder / "files").rglob("photo-*"))
    mine.write_bytes(mine.read_bytes()[::-1])
    assert_refused(fourth, copy, "1 files of the same names and other content", code=4)


def test_a_full_disk_leaves_no_half_file(source: Place, tmp_path: Path, limited_files: Callable[[int], Any]) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    with limited_files(40_000):
        result = source.run("db", "backup", folder / "copy.tar", "--with-files")
    assert result.exit_code == 1
    assert "nothing is left of it: free space there" in result.stderr
    assert list(folder.iterdir()) == []
    assert "cannot be written" in source.run("db", "backup", tmp_path / "nowhere" / "copy.tar").stderr


def test_a_full_disk_of_files_leaves_the_database_empty(
    copy: Path, target: Place, limited_files: Callable[[int], Any]
) -> None:
    with limited_files(50_000):
        assert_refused(target, copy, "storage of files cannot be used now")
    target.told("db", "restore", copy)


def test_a_backup_by_who_may_not_read_everything_says_who_may(source: Place, tmp_path: Path) -> None:
    login, url = f"little_{uuid4().hex[:8]}", urlsplit(source.environment["DATABASE_URL"])
    source.ask(f"CREATE ROLE {login} LOGIN PASSWORD 'little' IN ROLE {APP_ROLE}")
    source.environment["DATABASE_URL"] = url._replace(netloc=f"{login}:little@{url.hostname}:{url.port}").geturl()
    try:
        result = source.run("db", "backup", tmp_path / "copy.tar")
    finally:
        source.ask(f"DROP ROLE {login}")
    assert result.exit_code == 1
    assert "DATABASE_OWNER_URL" in result.stderr
    assert list(tmp_path.glob("copy*")) == []
