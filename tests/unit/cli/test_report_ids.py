"""Doing the same to many things by their ids, where Ctrl-C comes between."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from marketplace_api import boot
from marketplace_api.cli import PARTLY_DONE, report_ids
from marketplace_api.cli.context import Context
from marketplace_api.db import Databases
from marketplace_api.domain.accounts import lifecycle
from tests.factories.accounts import make_user

ROOT = Path(__file__).resolve().parents[3]


def test_ctrl_c_ends_it_between_two(
    committed_databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", boot.connection_url(committed_databases))
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.setattr("marketplace_api.logs.configure_logging", lambda *_args, **_options: None)
    with committed_databases.session() as session:
        ids = [make_user(session).user_id for _ in range(3)]
        session.commit()

    def act(session: Any, actor: Any, user_id: int) -> None:
        lifecycle.suspend(session, actor, user_id, reason="Spam.")
        if user_id == ids[1]:
            raise KeyboardInterrupt

    context = Context(ini=str(ROOT / "development.ini"), as_json=True, yes=True)
    with pytest.raises(SystemExit) as ended:
        words = tuple(map(str, ids))
        report_ids.each(context, words, act, noun="account", action="suspend", reason="Spam.", dry_run=False)
    assert ended.value.code == PARTLY_DONE
    told = json.loads(capsys.readouterr().out)
    assert (told["matched"], told["changed"], told["failed"]) == (3, 1, [])
    with committed_databases.session() as session:
        states = [lifecycle.find(session, str(user_id)).state for user_id in ids]
    assert states == ["suspended", "active", "active"], "the one that was broken off is as it was"
