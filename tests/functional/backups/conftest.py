"""One populated place for each test, and empty ones to restore to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from marketplace_api.database.embedded_postgres import EmbeddedPostgres
from marketplace_api.database.engines import Databases, make_databases
from marketplace_api.gateways.storage import LocalStorage
from marketplace_api.jobs import dispatch
from tests.factories.accounts import People
from tests.functional.backups.world import MakePlace, Marketplace, Place
from tests.support import postgres


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("marketplace_api.logs.configure_logging", lambda *_args, **_options: None)


@pytest.fixture
def make_place(
    postgres_server: EmbeddedPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MakePlace]:
    """Makes an empty database and names a folder that is not there yet."""
    made: list[Databases] = []

    def make(name: str) -> Place:
        databases = make_databases(postgres_server.ensure_database(f"{name}_{uuid4().hex[:12]}"), system=True)
        made.append(databases)
        return Place(databases, tmp_path / name, monkeypatch)

    yield make
    for databases in made:
        databases.dispose()
        postgres.drop_database(postgres_server, str(databases.write.url.database))


@pytest.fixture
def target(make_place: MakePlace) -> Place:
    return make_place("restored")


@pytest.fixture
def source(committed_databases: Databases, live_storage: LocalStorage, monkeypatch: pytest.MonkeyPatch) -> Place:
    committed_databases.on_event = dispatch.dispatch  # before anybody opens a session
    return Place(committed_databases, live_storage.folder.parent, monkeypatch)


@pytest.fixture
def marketplace(source: Place, live_people: People) -> Marketplace:
    return Marketplace(live_people)


@pytest.fixture
def current(configured: tuple[Any, Any]) -> Any:
    """What the application of the run talks through."""
    return configured[1]
