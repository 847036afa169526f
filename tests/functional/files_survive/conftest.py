"""A storage and a listing of somebody for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from marketplace_api.gateways.storage import LocalStorage, Storage, UrlSigner
from tests.client import Client
from tests.factories.accounts import People
from tests.factories.listings import make_listing


@pytest.fixture
def storage(tmp_path: Path, live_app: Any) -> Iterator[LocalStorage]:
    """A folder of the test's own, which the application uses meanwhile."""
    before = live_app.registry.storage
    live_app.registry.storage = LocalStorage(tmp_path / "files", UrlSigner.from_secret("secret"))
    yield live_app.registry.storage
    live_app.registry.storage = before


@pytest.fixture
def owner(live_people: People, storage: Storage) -> Client:
    return live_people.customer()


@pytest.fixture
def listing(live_people: People, owner: Client) -> Any:
    return make_listing(live_people.session, owner.user)
