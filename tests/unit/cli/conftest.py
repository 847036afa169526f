"""The command line on a throwaway database and folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from marketplace_api import boot
from marketplace_api.cli import main
from marketplace_api.database.engines import Databases
from tests.unit.cli.faults import Installation, free_port

ROOT = Path(__file__).resolve().parents[3]
Run = Callable[..., Result]


@pytest.fixture
def run(committed_databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("DATABASE_URL", boot.connection_url(committed_databases))
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.setenv("MARKETPLACE_INI", str(ROOT / "development.ini"))
    monkeypatch.setattr("marketplace_api.logs.configure_logging", lambda *_args, **_options: None)

    def run(*words: str, stdin: str = "") -> Result:
        return CliRunner().invoke(main, list(words), input=stdin)

    return run


@pytest.fixture
def installation(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    committed_databases: Databases,
    request: pytest.FixtureRequest,
) -> Installation:
    """For faults to be planted in."""
    monkeypatch.setenv("PORT", str(free_port()))
    return Installation(run, monkeypatch, tmp_path, committed_databases, request)
