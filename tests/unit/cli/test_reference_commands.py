"""Commands that print what the service is made of, and the prompt."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import pytest
from click.testing import Result

from marketplace_api import domain
from marketplace_api.config.settings import Settings
from marketplace_api.database import migrations
from marketplace_api.database.engines import Databases
from marketplace_api.domain.kernel.workflow import Workflow
from marketplace_api.domain.operations.workflows import WORKFLOWS
from marketplace_api.gateways.document_cipher import DocumentKeys
from marketplace_api.gateways.storage import LocalStorage, UrlSigner
from marketplace_api.hal import affordances
from marketplace_api.hal.problems import CODES
from marketplace_api.views.openapi import openapi
from tests.factories.accounts import make_user
from tests.factories.verifications import Office

ROOT = Path(__file__).resolve().parents[3]
Run = Callable[..., Result]


def test_every_operation_is_a_route(run: Run) -> None:
    rows = json.loads(run("--json", "routes").stdout)
    assert len(rows) == len(affordances.ALL)
    edit = json.loads(run("--json", "routes", "LISTING:EDIT").stdout)
    assert {"method": "PATCH", "path": "/api/listings/{listing_id}", "permission": "listing:edit"}.items() <= (
        next(row for row in edit if row["method"] == "PATCH" and row["path"].endswith("{listing_id}")).items()
    )
    assert "/api/audit" in run("routes", "audit").stdout


def test_every_code_is_told(run: Run) -> None:
    assert [row["code"] for row in json.loads(run("--json", "errors").stdout)] == list(CODES)
    assert {(row["status"], row["exit_code"]) for row in json.loads(run("--json", "errors", "409").stdout)} == {
        (409, 4)
    }
    told = json.loads(run("--json", "errors", "--exit-codes").stdout)
    assert [row["exit_code"] for row in told] == [0, 1, 2, 3, 4, 5]
    assert "wrong_state" in run("errors", "state").stdout


def test_the_description_is_the_services_own(run: Run, tmp_path: Path) -> None:
    assert json.loads(run("openapi").stdout) == json.loads(json.dumps(openapi()))
    file = tmp_path / "openapi.json"
    assert run("openapi", "--to", str(file)).exit_code == 0
    assert json.loads(file.read_text())["openapi"] == "3.1.0"
    assert run("openapi", "--to", str(file)).exit_code == 4
    assert run("--yes", "openapi", "--to", str(file)).exit_code == 0
    assert run("openapi", "--to", "-").stdout == file.read_text()
    assert run("openapi", "--to", str(tmp_path / "none" / "openapi.json")).exit_code == 1


def test_every_workflow_is_in_the_table() -> None:
    modules = [import_module(found.name) for found in walk_packages(domain.__path__, f"{domain.__name__}.")]
    declared = [value for module in modules for value in vars(module).values() if isinstance(value, Workflow)]
    assert {workflow.name for workflow in declared} == set(WORKFLOWS)


def test_workflows_are_drawn(run: Run) -> None:
    assert [row["name"] for row in json.loads(run("--json", "workflow", "list").stdout)] == list(WORKFLOWS)
    for name, workflow in WORKFLOWS.items():
        text = run("workflow", "show", name).stdout
        drawn = run("workflow", "show", name, "--format", "mermaid").stdout
        for state in workflow.states:
            assert state in text and state in drawn
        for step in workflow:
            assert f"{step.name} → " in text
            assert (step.permission or "the clock") in text and f" : {step.name}\n" in drawn
        steps = json.loads(run("--json", "workflow", "show", name).stdout)["steps"]
        assert [step["name"] for step in steps] == [step.name for step in workflow]
    assert "    suspended --> sold : reinstate\n" in run("workflow", "show", "listing", "--format", "mermaid").stdout
    assert run("workflow", "show", "nothing").exit_code == 3


def test_the_version_names_what_counts(run: Run) -> None:
    told = json.loads(run("--json", "version").stdout)
    assert set(told) == {"version", "python", "psycopg", "libpq", "migration"}
    assert told["migration"] == migrations.head()
    assert told["libpq"] in run("version").stdout


def test_the_prompt_runs_a_script_and_keeps_nothing_unasked(run: Run) -> None:
    add = "session.add(Event(type='test.made', subject_type='test')); session.flush(); print(settings.environment)"
    count = "print(session.query(Event).filter_by(type='test.made').count(), session.scalar(sa.text('SELECT 1')))"
    assert run("shell", stdin=add).stdout == "development\n"
    assert run("shell", stdin=count).stdout == "0 1\n"
    assert "dropped" in run("shell", stdin="session.add(Event(type='test.made'))").stderr
    assert run("shell", stdin=f"{add}; session.commit()").exit_code == 0
    assert run("shell", stdin=count).stdout == "1 1\n"
    wrong = run("shell", stdin="def half(of):\n    return of / 0\nhalf(1)\n")
    assert wrong.exit_code == 1
    assert re.findall("line [0-9]+", wrong.stderr) == ["line 3", "line 2"], "its own lines and none of ours"
    assert "    return of / 0\n" in wrong.stderr and wrong.stderr.endswith("ZeroDivisionError: division by zero\n")
    assert run("shell", stdin="print(").stderr.endswith("SyntaxError: '(' was never closed\n")


def test_the_prompt_says_what_is_there(run: Run) -> None:
    """In a terminal of its own, as ``script`` makes one."""
    talk = (
        "import os, pty, sys\n"
        "words = [sys.executable, '-m', 'marketplace_api.cli', 'shell']\n"
        "pty.spawn(words, lambda fd: os.read(fd, 1024), lambda fd: os.read(0, 1024) or b'\\x04')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", talk],
        input=b"print(6 * 7)\n\x04",
        capture_output=True,
        cwd=ROOT,
        timeout=60,
        check=False,
    )
    told = done.stdout.decode()
    assert "session.commit() only" in told
    assert "Listing" in told and "\n42" in told


def test_keys_are_listed_and_never_shown(
    run: Run, committed_databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [row["key_id"] for row in json.loads(run("--json", "keys", "list").stdout)] == ["development"]
    old, new = (run("keys", "generate-document-key").stdout.strip() for _ in range(2))
    storage = LocalStorage(tmp_path / "files", UrlSigner.from_secret("secret"))
    with committed_databases.session() as session:
        office = Office(session, committed_databases, storage, DocumentKeys.from_settings(Settings(document_keys=old)))
        user = make_user(session)
        session.commit()
        office.submit(user)
    signing = [run("keys", "generate").stdout.strip() for _ in range(2)]
    monkeypatch.setenv("JWT_KEYS", ",".join(signing))
    ids = [key.partition(":")[0] for key in (*signing, new, old)]
    for keys, told in ((f"{new},{old}", [0, "opens", 1]), (new, [0, "missing", 1])):
        monkeypatch.setenv("DOCUMENT_KEYS", keys)
        shown = run("--json", "keys", "list")
        rows = json.loads(shown.stdout)
        assert [row["key_id"] for row in rows] == ids
        assert [row["use"] for row in rows[:3]] == ["signs", "verifies", "seals"]
        assert [rows[2]["documents"], rows[3]["use"], rows[3]["documents"]] == told
        assert not any(key.partition(":")[2] in shown.output for key in (*signing, new, old))
