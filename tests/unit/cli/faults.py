"""An installation for faults to be planted in, and what `marketplace-admin doctor` then says of it."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import Result

from marketplace_api import boot
from marketplace_api.database.engines import Databases
from marketplace_api.domain.kernel.tokens import generate_seed
from marketplace_api.gateways.document_cipher import generate_key

ROOT = Path(__file__).resolve().parents[3]
SECRET = "a-password-that-nobody-may-see"


@dataclass
class Installation:
    """One migrated database, one folder, one free port; ``stack`` ends what a fault has started."""

    run: Callable[..., Result]
    monkeypatch: pytest.MonkeyPatch
    folder: Path
    databases: Databases
    request: pytest.FixtureRequest
    stack: ExitStack = field(default_factory=ExitStack)

    def set(self, **variables: str) -> None:
        for name, value in variables.items():
            self.monkeypatch.setenv(name, value)

    def fixture(self, name: str) -> Any:
        return self.request.getfixturevalue(name)

    @property
    def url(self) -> str:
        return boot.connection_url(self.databases)

    @property
    def database(self) -> str:
        return self.url.rpartition("/")[2]

    def sql(self, *statements: str, url: str = "") -> None:
        with psycopg.connect(url or self.url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def production(self, **changes: str) -> None:
        """Settings with which production would start, but for the changes."""
        self.set(
            **{
                "MARKETPLACE_INI": str(ROOT / "production.ini"),
                "MARKETPLACE_SECRET": "0123456789abcdef" * 4,
                "JWT_KEYS": f"one:{generate_seed()}",
                "DOCUMENT_KEYS": f"one:{generate_key()}",
                "PUBLIC_URL": "https://market.invalid",
                "EMAIL_BACKEND": "local",
                **changes,
            }
        )

    def findings(self, *words: str) -> list[dict[str, str]]:
        result = self.run("--json", "doctor", *words)
        assert SECRET not in result.output
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        found: list[dict[str, str]] = json.loads(result.stdout)
        assert all(row["remedy"] for row in found if row["state"] != "ok")
        states = {row["state"] for row in found}
        bad = {"problem", "warning"} if "--strict" in words else {"problem"}
        assert result.exit_code == int(bool(states & bad))
        return found


@dataclass(frozen=True)
class Fault:
    """What is planted, and the check, the state and words of sentence and remedy that must be said about it."""

    plant: Callable[[Installation], object]
    check: str
    state: str
    detail: str
    remedy: str

    def hold(self, place: Installation) -> None:
        """The doctor is silent about it before, and tells it after."""
        before = [row for row in place.findings() if self._matches(row)]
        assert before == []
        with place.stack:
            self.plant(place)
            found = place.findings()
        assert [row for row in found if self._matches(row)], found

    def _matches(self, row: dict[str, str]) -> bool:
        return (row["check"], row["state"]) == (self.check, self.state) and (
            self.detail in row["detail"] and self.remedy in row["remedy"]
        )

    @property
    def name(self) -> str:
        return self.plant.__name__


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
