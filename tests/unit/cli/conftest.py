"""The command line on a throwaway database and folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from marketplace_api import boot
from marketplace_api.cli import main
from marketplace_api.db import Databases

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
