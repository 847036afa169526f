"""Servers of the embedded PostgreSQL in processes of their own."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from marketplace_api.database.embedded_postgres import EmbeddedPostgres

REPOSITORY = Path(__file__).parents[4]
FAST = {"fsync": "off", "full_page_writes": "off", "max_connections": "20", "shared_buffers": "16MB"}


# A process of ours: starts the folder's server, says its postmaster's process id, and waits for a line.
HOLDER = """
import sys
from pathlib import Path
from marketplace_api.database.embedded_postgres import EmbeddedPostgres
folder = Path(sys.argv[1])
server = EmbeddedPostgres(folder, settings={"fsync": "off"})
print(server.start(), (folder / "data/postmaster.pid").read_text().split()[0], flush=True)
sys.stdin.readline()
server.stop()
"""


Make = Callable[..., EmbeddedPostgres]


def ask(url: str, query: str = "SELECT 1") -> object:
    with psycopg.connect(url, connect_timeout=5, autocommit=True) as connection:
        cursor = connection.execute(query)
        return cursor.fetchall()[0][0] if cursor.description else None


def postmaster(folder: Path) -> int:
    return int((folder / "data" / "postmaster.pid").read_text().split()[0])


def hold(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HOLDER, folder], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def said(process: subprocess.Popen[str]) -> tuple[str, int]:
    assert process.stdout is not None
    url, pid = process.stdout.readline().split()
    return url, int(pid)


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
