"""docs/operations.md is true: its variables, metrics, numbers and commands are those of the service."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import psycopg
import pytest
from click.testing import CliRunner

from marketplace_api import boot
from marketplace_api.cli import main
from marketplace_api.database import migrations
from marketplace_api.database.engines import Databases
from marketplace_api.domain.operations.health import database_state
from tests.deploy.world import ROOT, SECRETS, SETTINGS, VARIABLES, check_command
from tests.support.client import Client

PAGE = (ROOT / "docs" / "operations.md").read_text()
# Those that read only, and print something to go by.
HARMLESS = (
    ["doctor"],
    ["jobs", "list"],
    ["keys", "generate"],
    ["keys", "generate-document-key"],
    ["keys", "rotate-documents"],
    ["db", "psql"],
    ["moderation", "batches"],
)


def _commands() -> Iterator[list[str]]:
    """Every line of the console blocks, and the commands in the text, without variables before them."""
    blocks = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    lines += list(re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL)))
    for line in lines:
        words = shlex.split(line, comments=True)
        while words and re.fullmatch(r"[A-Z]+=.*", words[0]):
            words.pop(0)
        if words and words[0] in ("marketplace-admin", "pserve") and len(words) > 1:
            yield words


def _section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize("words", list(_commands()), ids=" ".join)
def test_a_command_is_one_that_there_is(words: list[str]) -> None:
    check_command([word for word in words if word not in ("ID", "BATCH")][:3] if words[0] != "pserve" else words)
    command: click.Command = main
    rest = words[1:]
    while isinstance(command, click.Group) and words[0] != "pserve":
        found = command.get_command(click.Context(command), rest.pop(0))
        assert found is not None
        command = found
    # An option that there is not raises.
    command.make_context(words[1], rest, resilient_parsing=True)


@pytest.mark.parametrize(
    "words",
    [words for words in _commands() if any(words[1 : 1 + len(some)] == some for some in HARMLESS)],
    ids=" ".join,
)
def test_a_harmless_command_does_what_it_is_named_for(
    words: list[str], committed_databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("DATABASE_URL", boot.connection_url(committed_databases)), ("DATA_DIR", str(tmp_path))):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MARKETPLACE_INI", str(ROOT / "development.ini"))
    monkeypatch.setattr("marketplace_api.logs.configure_logging", lambda *_args, **_options: None)
    result = CliRunner().invoke(main, words[1:])
    # The doctor may have a warning to tell, for which --strict fails.
    assert result.exit_code == int("--strict" in words), result.output


def test_variables_are_settings_and_secrets_are_told() -> None:
    table = _section("Configure")
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`([A-Z0-9_]+)`", row)}
    assert named <= VARIABLES
    assert SECRETS - named == set(), "an operator has to know every secret"
    assert {name for name in SETTINGS if name.startswith("S3_")} <= named


def test_metrics_are_those_that_there_are(metrics: dict[str, set[str]]) -> None:
    told = set(re.findall(r"`(marketplace_\w+)`", _section("Monitor")))
    real = {re.sub(r"_(bucket|count|sum)$", "", name) for name in metrics if not name.endswith("_created")}
    assert told == real
    for line in _section("Monitor").splitlines():
        if line.startswith("| `marketplace_http_requests_total`"):
            assert set(re.findall(r"`(\w+)`", line)[1:]) == metrics["marketplace_http_requests_total"]


def test_a_migration_that_waits_for_a_lock_gives_up(committed_databases: Databases) -> None:
    """As the page says: after so many attempts, and nothing is changed."""
    url = boot.connection_url(committed_databases)
    migrations.downgrade(url, "0011")
    environment = {
        **os.environ,
        "PGOPTIONS": "-c lock_timeout=500ms",
        "DATABASE_URL": url,
        "PYTHONPATH": str(ROOT),
        "MARKETPLACE_INI": str(ROOT / "development.ini"),
    }
    with psycopg.connect(url) as other:
        other.execute("LOCK TABLE alembic_version IN EXCLUSIVE MODE")  # what every migration ends with
        told = subprocess.run(
            [sys.executable, "-m", "marketplace_api.cli", "db", "upgrade", "--attempts", "2"],
            env=environment,
            check=False,
            capture_output=True,
            text=True,
        )
    assert told.returncode == 1
    assert told.stderr.count("trying again (2 of 2)") == 1
    assert "nothing was changed since 0011" in told.stderr and "Traceback" not in told.stderr
    assert boot.current_revision(url) == "0011"


def test_old_code_stays_ready_on_the_schema_of_the_next_release(
    live_app: object, committed_databases: Databases
) -> None:
    client = Client(live_app)
    assert client.get("/readyz").status_code == 200
    url = boot.connection_url(committed_databases)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'of-the-next-release'")
    assert database_state(committed_databases) == {"database": "ok", "migrations": "ok"}
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0011'")
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert "0011" in answer.json["checks"]["migrations"]
