"""A real PgBouncer in front of the test run's PostgreSQL."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
needs_pgbouncer = pytest.mark.skipif(PROGRAM is None, reason="needs PgBouncer (Debian: apt-get install pgbouncer)")

_INI = """
[databases]
* = host={host} port={port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own_port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder}/users
pool_mode = {mode}
default_pool_size = {servers}
max_client_conn = 200
query_wait_timeout = 20
server_round_robin = {round_robin}
logfile = {folder}/log
pidfile =
ignore_startup_parameters = {ignored}
{more}
"""


@contextmanager
def pooled(
    url: str, mode: str, *, servers: int = 1, ignored: str = "", round_robin: int = 0, more: str = ""
) -> Iterator[str]:
    """The URL of the same database through a PgBouncer that pools in this mode, on so many connections to the server.

    ``ignored`` are startup parameters that it drops; all others that it does not know it refuses.
    """
    assert PROGRAM is not None
    target = sa.make_url(url)
    # Of its own user's, as it refuses to run as root, and where that user can come.
    folder = Path(tempfile.mkdtemp(prefix="pgbouncer-", dir="/tmp"))
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    values = {"host": target.host, "port": target.port, "own_port": port, "folder": folder, "mode": mode}
    ini = _INI.format(**values, servers=servers, ignored=ignored, round_robin=round_robin, more=more)
    (folder / "ini").write_text(ini)
    (folder / "users").write_text(f'"{target.username}" "{target.password}"\n')
    account = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
    if account is not None:
        for path in (folder, *folder.iterdir()):
            os.chown(path, account.pw_uid, account.pw_gid)
    process = subprocess.Popen(
        [PROGRAM, "-q", str(folder / "ini")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        user=account.pw_uid if account else None,
        group=account.pw_gid if account else None,
        extra_groups=[] if account else None,
    )
    through = target.set(host="127.0.0.1", port=port).render_as_string(hide_password=False)
    try:
        _wait(through, process, folder / "log")
        yield through
    finally:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            psycopg.connect(url, connect_timeout=10).close()
        except psycopg.OperationalError as error:
            told = log.read_text() if log.exists() else ""
            assert process.poll() is None and time.monotonic() < deadline, f"{error}\n{told}"
            time.sleep(0.05)
        else:
            return
