"""The embedded PostgreSQL dies and heals."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from marketplace_api.cli.up import commands
from marketplace_api.database import embedded_postgres
from tests.unit.database.embedded.world import Make, ask, hold, postmaster, said, wait_until_gone


def test_a_killed_server_heals(make: Make, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server = make()
    server.start()
    ask(server.url("shop"), "UPDATE things SET number = number")
    commands.revive_database(server)
    assert capsys.readouterr().err == "", "it lives"
    os.kill(postmaster(folder), signal.SIGKILL)
    commands.revive_database(server)
    assert "PostgreSQL had ended; it is started again" in capsys.readouterr().err
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
