"""The admin commands as an operator types them: what they print, where, and the exit codes."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from marketplace_api import boot
from marketplace_api.cli import COMMANDS, PARTLY_DONE, main
from marketplace_api.cli.up.supervisor import Child, ChildError
from marketplace_api.config.settings import Settings
from marketplace_api.database import migrations
from marketplace_api.database.engines import Databases
from marketplace_api.domain.operations import demo
from marketplace_api.domain.operations.demo import placeholder_images
from marketplace_api.gateways.document_cipher import DocumentKeys
from marketplace_api.gateways.storage import LocalStorage, UrlSigner
from tests.factories.accounts import make_user
from tests.factories.verifications import Office

ROOT = Path(__file__).resolve().parents[3]
Run = Callable[..., Result]


def _make(run: Run, name: str, *roles: str) -> Result:
    words = [word for role in roles for word in ("--role", role)]
    return run(
        "--json",
        "users",
        "create",
        f"{name}@example.org",
        "--username",
        name,
        *words,
        "--password-stdin",
        stdin="correct horse battery\n",
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name: str) -> None:
    assert name in CliRunner().invoke(main, ["--help"]).output
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0
    commands = re.findall(r"^│ ([a-z-]+) ", result.output.partition("─ Commands ")[2], re.MULTILINE)
    helps = [CliRunner().invoke(main, [name, command, "--help"]).output for command in commands] or [result.output]
    assert all("Example" in text for text in helps)


def test_accounts_are_made_shown_and_given_roles(run: Run) -> None:
    made = json.loads(_make(run, "ada", "admin").stdout)
    assert made["roles"] == ["customer", "admin"]
    assert made["email_confirmed_at"]
    assert json.loads(run("--json", "users", "show", "ADA@example.org").stdout)["user_id"] == made["user_id"]
    for words in (("set-role", "ada", "moderator"), ("erase", "ada"), ("suspend", "ada", "--reason", "Mine.")):
        asked = run("users", *words)
        assert asked.exit_code == 2 and "This is the last active admin" in asked.stderr
    asked = run("users", "set-role", "ada", "admin", "staff", "--reason", "helps us")
    assert asked.exit_code == 0, "an admin already"
    run("users", "set-role", "ada", "admin")
    done = run("--json", "--yes", "users", "set-role", "ada", "moderator", "--reason", "helps us")
    assert json.loads(done.stdout)["previous_roles"] == ["customer", "admin"]
    listed = json.loads(run("--json", "users", "list", "--role", "moderator").stdout)
    assert [row["username"] for row in listed] == ["ada"]
    assert "ada@example.org" in run("users", "list", "--search", "AD").stdout
    assert run("users", "list", "--search", "%").stdout.count("\n") == 1


def test_dry_runs_change_nothing(run: Run) -> None:
    assert run("users", "create", "a@example.org", "--username", "ada", "--no-password", "--dry-run").exit_code == 0
    assert json.loads(run("--json", "users", "list").stdout) == []
    _make(run, "ada")
    assert "would have" in run("users", "set-role", "ada", "staff", "--dry-run").stdout
    assert json.loads(run("--json", "users", "show", "ada").stdout)["roles"] == ["customer"]


def test_exit_codes_and_one_sentence_on_standard_error(run: Run) -> None:
    _make(run, "ada", "admin")
    _make(run, "bob")
    for words, code in (
        (("users", "show", "nobody"), 3),
        (("users", "create", "ada@example.org", "--username", "ada", "--no-password"), 4),
        (("users", "create", "no-address", "--username", "x", "--no-password"), 2),
        (("users", "create", "b@example.org", "--username", "bob"), 2),
        (("--as", "ada", "users", "set-role", "ada", "customer"), 1),
        (("--as", "nobody", "users", "set-role", "ada", "customer"), 3),
        (("jobs", "retry", "99"), 3),
        (("--ini", "/none.ini", "users", "list"), 1),
        (("--quiet", "--verbose", "version"), 2),
        (("--set", "rubbish", "version"), 2),
        (("nothing",), 2),
        (("lisitngs",), 2),
        (("users", "lits"), 2),
        (("db", "downgrade", "base"), 2),
        (("--ids", "routes"), 2),
        (("--as", "bob", "users", "suspend", "ada", "--reason", "Mine."), 1),
    ):
        result = run(*words)
        assert result.exit_code == code, (words, result.output)
        assert result.stdout == ""
        assert "Traceback" not in result.stderr
        if code != 2:
            assert re.fullmatch(r"Error: .*\n(  \w+: .*\n)*", result.stderr), result.stderr
    assert "Did you mean 'listings'?" in run("lisitngs").stderr
    assert "Did you mean 'list'?" in run("users", "lits").stderr
    unsure = run("db", "downgrade", "base").stderr
    assert unsure.startswith("Error: ") and "say --yes" in unsure and unsure.count("\n") == 1
    assert "users set-role bob moderator" in run("--as", "bob", "users", "suspend", "ada", "--reason", "Mine.").stderr


def test_a_mistyped_folder_gets_no_database(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "embedded")
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "typo"))
    for words in (("users", "list"), ("db", "current"), ("db", "psql"), ("jobs", "run")):
        result = run(*words)
        assert result.exit_code == 1
        assert re.fullmatch(
            r"Error: There is no database in .*/typo: .*DATA_DIR.*`marketplace-admin up`.*\n", result.stderr
        )
    assert list(tmp_path.iterdir()) == []


def test_the_audit_trail_names_who_and_why(run: Run, committed_databases: Databases) -> None:
    ada = json.loads(_make(run, "ada", "admin").stdout)
    _make(run, "bob")
    run("--as", "ada", "users", "set-role", "bob", "staff", "--reason", "helps us")
    with committed_databases.reader() as db:
        rows = db.exec_driver_sql("SELECT actor_id, actor_name, reason, request_id FROM events ORDER BY event_id").all()
    assert rows[0].actor_name.startswith("operator")
    last = next(row for row in rows if row.reason)
    assert (last.actor_id, last.reason) == (ada["user_id"], "helps us")
    assert last.request_id.startswith("cli-")


def test_migrations_go_both_ways(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("db", "current").exit_code == 0
    assert run("db", "downgrade", "base").exit_code == 2  # nobody there to confirm
    assert run("--yes", "db", "downgrade", "base").exit_code == 0
    assert run("db", "current").exit_code == 1
    assert json.loads(run("--json", "db", "upgrade").stdout)["before"] is None
    assert "already there" in run("db", "upgrade").stdout
    assert run("db", "downgrade", "nonsense").exit_code == 2
    monkeypatch.setattr(demo, "load_once", lambda *_: None)
    assert run("db", "seed").exit_code == 0
    _make(run, "ada")
    assert run("--yes", "db", "reset").exit_code == 0
    assert json.loads(run("--json", "users", "list").stdout) == []


def test_the_demo_data_waits_for_a_storage(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placeholder_images, "WIDTH", 96)
    monkeypatch.setattr(placeholder_images, "HEIGHT", 72)
    (tmp_path / "files").write_text("in the way")
    refused = run("db", "seed")
    assert refused.exit_code == 1
    assert re.fullmatch(r"Error: The demo data is not there: .*`marketplace-admin db seed`\.\n", refused.stderr)
    assert json.loads(run("--json", "users", "list").stdout) == []

    (tmp_path / "files").unlink()
    assert run("db", "seed").exit_code == 0
    assert len(json.loads(run("--json", "users", "list").stdout)) == 20
    files = {path.name for path in (tmp_path / "files").rglob("*.webp")}
    assert run("db", "seed").exit_code == 0
    assert {path.name for path in (tmp_path / "files").rglob("*.webp")} == files

    monkeypatch.setattr(demo, "load_once", _interrupted)
    assert "comes with the next start" in run("db", "seed").stderr
    assert run("--yes", "db", "reset").exit_code == 1
    assert list((tmp_path / "files").rglob("*.webp")) == []


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_jobs_can_be_looked_at(run: Run) -> None:
    _make(run, "ada")
    (job,) = json.loads(run("--json", "jobs", "list", "--status", "todo").stdout)
    assert job["task"] == "handle_event"
    assert run("jobs", "retry", str(job["job_id"])).exit_code == 4
    assert "forget_ended_jobs" in run("jobs", "schedule").stdout


def test_a_key_is_made(run: Run) -> None:
    assert re.fullmatch(r"[\w-]+:[\w-]{43}\n", run("keys", "generate").stdout)


def test_a_port_in_use_stops_before_anything_starts(run: Run, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = run("up", "--port", str(taken.getsockname()[1]), "--data-dir", str(tmp_path / "new"))
    assert result.exit_code == 1
    assert "is in use" in result.stderr
    assert not (tmp_path / "new").exists()


def test_a_folder_that_cannot_be_written_stops_it(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    result = run("up", "--port", str(port), "--data-dir", str(tmp_path / "file" / "new"))
    assert result.exit_code == 1
    assert "cannot be written" in result.stderr


def test_a_worker_stops_when_told(run: Run) -> None:
    command = [sys.executable, "-m", "marketplace_api.cli", "jobs", "run"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert "worker.started" in process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    process.stderr.close()


def test_a_child_is_revived_and_given_up_when_it_keeps_ending(capsys: pytest.CaptureFixture[str]) -> None:
    child = Child("short", [sys.executable, "-c", "print('last words'); raise SystemExit(3)"], dict(os.environ))
    child.start()
    with pytest.raises(ChildError, match="exit code 3"):
        for _ in range(200):
            child.revive()
            time.sleep(0.05)
    child.stop()
    assert "short    | last words" in capsys.readouterr().out


def test_a_child_that_will_not_stop_is_made_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("marketplace_api.cli.up.supervisor.STOP_SECONDS", 0.5)
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready'); time.sleep(60)"
    child = Child("deaf", [sys.executable, "-c", deaf], dict(os.environ))
    child.start()
    process = child.process
    assert process is not None
    time.sleep(0.5)
    child.stop()
    assert process.returncode == -signal.SIGKILL


def test_document_keys_are_made_and_rotated(
    run: Run, committed_databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = json.loads(run("--json", "keys", "generate-document-key").stdout)["document_key"]
    other = run("keys", "generate-document-key").stdout.strip()
    assert made.partition(":")[0] != other.partition(":")[0]
    storage = LocalStorage(tmp_path / "files", UrlSigner.from_secret("secret"))
    with committed_databases.session() as session:
        keys = DocumentKeys.from_settings(Settings(document_keys=made))
        office = Office(session, committed_databases, storage, keys)
        users = [make_user(session), make_user(session)]
        session.commit()
        for user in users:
            office.submit(user)
    monkeypatch.setenv("DOCUMENT_KEYS", other)
    lost = run("keys", "rotate-documents")
    assert lost.exit_code == PARTLY_DONE
    assert "0 wrapped" in lost.stdout and "2 left" in lost.stdout
    monkeypatch.setenv("DOCUMENT_KEYS", f"{other},{made}")
    done = run("--json", "keys", "rotate-documents")
    assert done.exit_code == 0
    assert json.loads(done.stdout) == {"key_id": other.partition(":")[0], "rewrapped": 2, "left": 0}
    monkeypatch.setenv("DOCUMENT_KEYS", "short:AAAA")
    refused = run("keys", "rotate-documents")
    assert refused.exit_code != 0
    assert "DOCUMENT_KEYS" in refused.output and "AAAA" not in refused.output


def test_a_database_without_tables_is_a_sentence(run: Run, committed_databases: Databases) -> None:
    migrations.downgrade(boot.connection_url(committed_databases), "base")
    for words in (("users", "list"), ("events", "tail"), ("moderation", "reports")):
        result = run(*words)
        assert result.exit_code == 1, result.output
        assert "db upgrade" in result.stderr and "Traceback" not in result.output
