"""A queue that is filled by what happens, and somebody to whom it does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from marketplace_api.config.settings import Settings
from marketplace_api.database.engines import Databases
from marketplace_api.domain.identity.accounts import registration
from marketplace_api.domain.identity.accounts.config import AccountRules
from marketplace_api.domain.kernel.actors import operator
from marketplace_api.jobs import dispatch, worker
from marketplace_api.models.identity.accounts import User


@pytest.fixture
def queued(committed_databases: Databases) -> Iterator[Databases]:
    committed_databases.on_event = dispatch.dispatch
    yield committed_databases


@pytest.fixture
def ours(settings: Settings, tmp_path: Path) -> Settings:
    return replace(settings, data_dir=tmp_path)


@pytest.fixture
def ada(queued: Databases, ours: Settings) -> User:
    with queued.session() as session, session.begin():
        user = registration.create_account(
            session,
            AccountRules.from_settings(ours),
            username="ada",
            email="ada@example.org",
            password="correct horse battery",
            roles=(),
            actor=operator("test"),
            confirmed=True,
        )
    # The jobs of the registration are not what these tests are about.
    worker.run_pending(ours, queued)
    return user
