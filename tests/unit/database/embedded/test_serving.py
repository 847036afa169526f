"""The embedded PostgreSQL, with real servers: starting, sharing, and who may come in."""

import os
import shutil
import stat
import subprocess
from copy import copy as shallow_copy
from pathlib import Path

import psycopg
import pytest

from marketplace_api.database import embedded_postgres
from marketplace_api.database.embedded_postgres import EmbeddedPostgres, EmbeddedPostgresError
from tests.unit.database.embedded.world import FAST, Make, ask, hold, postmaster, said, wait_until_gone


def release(process: subprocess.Popen[str]) -> None:
    process.communicate("\n", timeout=30)


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
