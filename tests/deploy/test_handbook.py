"""docs/operations.md from nothing: install, first admin, backup, upgrade and roll back, as the page says and in its order.

On a machine in a folder (``machine.py``), with a PostgreSQL of its own that nobody has prepared, and with what pip builds
from a copy of the tree. The second release has one revision more.
"""

from __future__ import annotations

import json
import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from aiosmtpd.controller import Controller

from marketplace_api.database import migrations
from marketplace_api.database.embedded_postgres import EmbeddedPostgres
from tests.deploy.machine import Machine
from tests.deploy.world import ROOT, copy_release
from tests.support import postgres
from tests.unit.cli.faults import free_port

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
ADMINISTRATOR = {"PGUSER": "postgres", "PGPASSWORD": "of the administrator", "PGHOST": "127.0.0.1"}
NEXT = '''"""What a later release adds.

Revision: next, after: {head}
"""

from alembic import op

revision = "next"
down_revision = "{head}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE TABLE of_the_next_release (id bigint PRIMARY KEY)")


def downgrade() -> None:
    op.execute("DROP TABLE of_the_next_release")
'''


def _blocks(title: str) -> list[str]:
    """What the page has run under a title."""
    page = (ROOT / "docs" / "operations.md").read_text()
    section = page.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    found = re.findall(r"^```sh\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
    assert found, title
    return found


class Refusing:
    """A mail server that is there."""

    async def handle_DATA(self, _server: object, _session: object, _envelope: Any) -> str:  # noqa: N802
        return "250 OK"


@pytest.fixture
def mail_port() -> Iterator[int]:
    server = Controller(Refusing(), hostname="127.0.0.1", port=free_port())
    server.start()
    yield server.port
    server.stop()


@pytest.fixture
def postgres_of_its_own(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """As a distribution leaves it: one administrator, and no role of ours."""
    server = EmbeddedPostgres(tmp_path / "postgres", settings=postgres.SETTINGS)
    server.start()
    name, password = ADMINISTRATOR["PGUSER"], ADMINISTRATOR["PGPASSWORD"]
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {name} SUPERUSER LOGIN PASSWORD '{password}'".encode())
    with psycopg.connect(_administrators(server), autocommit=True) as connection:
        connection.execute("ALTER ROLE marketplace RENAME TO who_made_the_cluster")
    yield server
    server.stop()


def _port(server: EmbeddedPostgres) -> str:
    return server.url("postgres").rpartition(":")[2].partition("/")[0]


def _administrators(server: EmbeddedPostgres, database: str = "postgres") -> str:
    return (
        f"host=127.0.0.1 port={_port(server)} dbname={database} user={ADMINISTRATOR['PGUSER']} "
        f"password='{ADMINISTRATOR['PGPASSWORD']}'"
    )


@pytest.fixture
def machine(tmp_path: Path, postgres_of_its_own: EmbeddedPostgres) -> Iterator[Machine]:
    (tmp_path / "machine").mkdir()
    machine = Machine(tmp_path / "machine", {"6543": str(free_port()), "6544": str(free_port())})
    machine.furnish({**ADMINISTRATOR, "PGPORT": _port(postgres_of_its_own)}, postgres_of_its_own.bin_dir)
    yield machine
    machine.run("systemctl stop '*'", machine.root)


def _follow(machine: Machine, tree: Path, title: str, **yours: str) -> str:
    """All blocks under a title in one shell, with other values for what is the reader's; what they said."""
    script = "".join(_blocks(title))
    for name, value in yours.items():
        script, found = re.subn(rf"^{name}=.*$", f"{name}='{value}'", script, count=1, flags=re.MULTILINE)
        assert found == 1, name
    done = machine.run(machine.translate(script), tree)
    logs = "".join(path.read_text()[-2_000:] for path in machine.state.glob("*.log"))
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-6_000:]}\n{logs}"
    return done.stdout + done.stderr


def _ask(machine: Machine, path: str, body: Any = None) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    address = f"http://127.0.0.1:{machine.ports['6543']}{path}"
    try:
        with OPENER.open(
            urllib.request.Request(address, data, {"Content-Type": "application/json"}), timeout=30
        ) as told:
            return told.status, json.load(told)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def _command(machine: Machine, *words: str) -> subprocess.CompletedProcess[str]:
    """The operator's, from a folder that has nothing to do with it."""
    return machine.run(f"marketplace-admin {' '.join(words)}", Path("/"))


def _next_release(machine: Machine, tree: Path) -> Path:
    copy_release(tree)
    revision = NEXT.format(head=migrations.head())
    (tree / "alembic" / "versions" / "next_release.py").write_text(revision)
    machine.translate_release(tree)
    return tree


def _check_rights(machine: Machine) -> None:
    for name in ("environment", "owner"):
        assert machine.place(f"/etc/marketplace/{name}").stat().st_mode & 0o777 == 0o600
    for name in ("/var/lib/marketplace", "/var/backups/marketplace"):
        assert machine.place(name).stat().st_mode & 0o777 == 0o700
    # The services' user is another one, and has to read the program.
    [program] = machine.place("/opt").glob("marketplace-*")
    installed = [path for path in (program, *program.rglob("*")) if "__pycache__" not in path.parts]
    assert len(installed) > 500
    for path in installed:
        needed = 0o005 if path.is_dir() else 0o004
        assert path.is_symlink() or path.stat().st_mode & needed == needed, path
    environment = machine.place("/etc/marketplace/environment").read_text()
    assert "DATABASE_OWNER_URL" not in environment, "the services never see the owner"
    assert not re.search(r"=(''|)$", environment, re.MULTILINE)


def _check_findings(machine: Machine) -> None:
    """Only what no machine of a test has: a public name that leads to it."""
    done = _command(machine, "--json", "doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    states = {row["check"]: row["state"] for row in json.loads(done.stdout)}
    assert states["roles"] == states["migrations"] == states["database"] == "ok", states
    assert {check for check, state in states.items() if state != "ok"} <= {"proxy", "mail encryption", "redis"}, (
        done.stdout
    )


def test_from_nothing_to_the_next_release_and_back(
    machine: Machine, postgres_of_its_own: EmbeddedPostgres, mail_port: int, tmp_path: Path
) -> None:
    first = copy_release(tmp_path / "first")
    machine.translate_release(first)
    said = _follow(
        machine,
        first,
        "Install",
        DATABASE=f"127.0.0.1:{_port(postgres_of_its_own)}",
        PUBLIC_URL="https://market.invalid",
        SMTP_URL=f"smtp://127.0.0.1:{mail_port}",
        ADMIN="ada@people.example",
    )
    _check_rights(machine)
    _check_findings(machine)
    [installed] = machine.place("/opt").glob("marketplace-*")
    assert machine.place("/opt/marketplace").resolve() == installed
    # The password that was shown is the admin's, who may do what admins may.
    [password] = re.findall(r"^(\S{24})$", said, re.MULTILINE)
    status, pair = _ask(machine, "/api/auth/login", {"email": "ada@people.example", "password": password})
    assert status == 200 and pair["token"]
    admins = json.loads(_command(machine, "--json users list --role admin").stdout)
    assert [row["username"] for row in admins] == ["ada"]

    _follow(machine, _next_release(machine, tmp_path / "second"), "Upgrade without downtime")
    [backup] = machine.place("/var/backups/marketplace").iterdir()
    assert _command(machine, "db verify", str(backup)).returncode == 0
    assert json.loads(_command(machine, "--json db current").stdout) == {"current": "next", "head": "next"}
    _check_findings(machine)
    assert machine.place("/opt/marketplace").resolve() != installed
    with psycopg.connect(_administrators(postgres_of_its_own, "marketplace")) as connection:
        owners = connection.execute("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'").fetchall()
    assert owners == [("marketplace",)]

    _follow(machine, first, "Roll back")
    assert machine.place("/opt/marketplace").resolve() == installed
    assert _ask(machine, "/readyz")[0] == 200, "old code on the newer schema"
    assert _ask(machine, "/api/auth/login", {"email": "ada@people.example", "password": password})[0] == 200
