"""What `marketplace-admin doctor` says of a pooler, and of what is missing behind one."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from click.testing import Result

from marketplace_api import boot
from marketplace_api.database.embedded_postgres import EmbeddedPostgres
from marketplace_api.database.engines import Databases
from tests.support.pgbouncer import needs_pgbouncer, pooled

Run = Callable[..., Result]


def _finding(run: Run, check: str) -> dict[str, str]:
    found = [row for row in json.loads(run("--json", "doctor").stdout) if row["check"] == check]
    assert len(found) == 1, found
    return dict(found[0])


def test_none_is_said_and_one_that_is_declared_is_missed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _finding(run, "pooler")["detail"] == "none: connections lead to PostgreSQL itself"
    monkeypatch.setenv("DATABASE_POOLER", "session")
    assert _finding(run, "pooler")["state"] == "warning"


@needs_pgbouncer
def test_the_kind_is_told_and_what_is_missing(
    run: Run, committed_databases: Databases, postgres_server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = boot.connection_url(committed_databases)
    with pooled(own, "session", servers=20, ignored="options") as url:
        monkeypatch.setenv("DATABASE_URL", url)
        found = _finding(run, "pooler")
        assert (found["state"], "pools sessions" in found["detail"]) == ("ok", True)
        assert "DATABASE_POOLER=session" in found["detail"]
        assert _finding(run, "roles")["state"] == "ok"
    with pooled(own, "transaction", ignored="options") as url:
        monkeypatch.setenv("DATABASE_URL", url)
        found = _finding(run, "database")
        assert found["state"] == "problem"
        assert "DATABASE_DIRECT_URL" in found["detail"] + found["remedy"]
        monkeypatch.setenv("DATABASE_DIRECT_URL", own)
        found = _finding(run, "pooler")
        assert (found["state"], "pools transactions" in found["detail"]) == ("ok", True)
        assert _finding(run, "roles")["state"] == "ok"
        assert run("db", "current").exit_code == 0
        monkeypatch.setenv("DATABASE_DIRECT_URL", postgres_server.url("postgres"))
        found = _finding(run, "pooler")
        assert (found["state"], "another database" in found["detail"]) == ("problem", True)
