"""What is loaded before it is needed: next to nothing. And the shell's completion, in a real shell."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from marketplace_api.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[3]
HEAVY = frozenset(
    {
        "sqlalchemy",
        "pyramid",
        "cornice",
        "boto3",
        "av",
        "PIL",
        "procrastinate",
        "alembic",
        "psycopg",
        "sentry_sdk",
        "jwt",
        "structlog",
        "plaster",
    }
)
# Runs the command line as the program does, and tells on standard error what it loaded.
TELL = """
import json, sys
from marketplace_api.cli import main
try:
    main(sys.argv[1:], prog_name="marketplace-admin")
finally:
    sys.stderr.write("\\n" + json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def _loaded(words: list[str], **environment: str) -> tuple[str, set[str]]:
    done = subprocess.run(
        [sys.executable, "-c", TELL, *words],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
        env={**os.environ, **environment},
    )
    return done.stdout, set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_loads_nothing_heavy(name: str) -> None:
    told, loaded = _loaded([name, "--help"] if name else ["--help"])
    assert "Usage: marketplace-admin" in told
    assert loaded & HEAVY == set()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("marketplace-admin ", "events"),
        ("marketplace-admin events ", "tail"),
        ("marketplace-admin events tail --", "--follow"),
        ("marketplace-admin jobs list --status ", "failed"),
    ],
)
def test_completion_loads_nothing_heavy(words: str, expected: str) -> None:
    told, loaded = _loaded(
        [], _MARKETPLACE_ADMIN_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=str(words.count(" "))
    )
    assert f"plain,{expected}" in told.splitlines()
    assert loaded & HEAVY == set()


def test_looking_at_accounts_does_without_jobs_and_migrations(tmp_path: Path) -> None:
    _, loaded = _loaded(["users", "list"], DATABASE_URL="postgresql://nobody@127.0.0.1:1/none", DATA_DIR=str(tmp_path))
    assert "sqlalchemy" in loaded
    assert loaded & {"pyramid", "cornice", "boto3", "av", "procrastinate", "alembic", "sentry_sdk"} == set()


BASH = r"""
eval "$("$PYTHON" -m marketplace_api.cli completion bash)"
offered() {
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
    _marketplace_admin_completion marketplace-admin "${COMP_WORDS[COMP_CWORD]}" ""
    echo "${COMPREPLY[*]}"
}
complete -p marketplace-admin
offered marketplace-admin e
offered marketplace-admin events ""
offered marketplace-admin events tail --f
offered marketplace-admin workflow show x --format ""
"""


def test_bash_completes_groups_commands_and_options(tmp_path: Path) -> None:
    program = tmp_path / "marketplace-admin"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m marketplace_api.cli "$@"\n')
    program.chmod(0o755)
    environment = {**os.environ, "PYTHON": sys.executable, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "--norc", "-c", BASH], capture_output=True, text=True, cwd=ROOT, env=environment, check=True
    )
    assert done.stderr == ""
    assert done.stdout.splitlines()[1:] == ["events errors", "export show tail", "--follow", "text mermaid"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_have_their_script(shell: str) -> None:
    told, _ = _loaded(["completion", shell])
    assert "_MARKETPLACE_ADMIN_COMPLETE" in told
