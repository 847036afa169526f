"""What contexts register is there in every process that works with the domain."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from marketplace_api.app import configure
from marketplace_api.cli.context import Context
from marketplace_api.config.settings import Settings
from marketplace_api.domain import contexts
from marketplace_api.domain.kernel.registries import OWNER_EFFECTS, SWEEPERS
from marketplace_api.jobs.worker import make_app

ROOT = Path(__file__).resolve().parents[3]


def test_registries_are_filled() -> None:
    assert [effect.name for effect in OWNER_EFFECTS] == ["listings"]
    assert [sweeper.table.name for sweeper in SWEEPERS] == ["listing_photos", "listing_videos"]


def test_registries_refuse_before_the_contexts_are_loaded() -> None:
    """Also where some context has registered by itself: what is read must not quietly be less than all."""
    code = (
        "from marketplace_api.domain.catalog import registration; registration.register();"
        "from marketplace_api.domain.kernel.registries import OWNER_EFFECTS; list(OWNER_EFFECTS)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "LookupError: The contexts are not loaded" in done.stderr


def _api(settings: Settings, databases: Any) -> None:
    configure(settings, databases)


def _worker(_settings: Settings, databases: Any) -> None:
    make_app(databases)


def _command(settings: Settings, _databases: Any) -> None:
    context = Context(ini=None, output_format="table")
    context.__dict__["settings"] = settings
    with context.databases():
        raise AssertionError("there is no database in this folder")


@pytest.mark.parametrize("begin", [_api, _worker, _command])
def test_each_process_loads_the_contexts(
    begin: Callable[[Settings, Any], None], databases: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Loaded(Exception):
        pass

    def load() -> None:
        raise Loaded

    monkeypatch.setattr(contexts, "load", load)
    with pytest.raises(Loaded):
        begin(Settings(data_dir=tmp_path), databases)
