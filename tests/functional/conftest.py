"""Those who call most often, what they offer, and where files are kept meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from marketplace_api.gateways.storage import LocalStorage, UrlSigner
from tests.factories.accounts import People
from tests.factories.listings import make_listing
from tests.support.client import Client


@pytest.fixture
def owner(people: People) -> Client:
    """A customer, who offers things."""
    return people.customer()


@pytest.fixture
def stranger(people: People) -> Client:
    return people.anonymous()


@pytest.fixture
def moderator(people: People) -> Client:
    return people.moderator()


@pytest.fixture
def listing(db: Session, owner: Client) -> Any:
    """Something that the owner offers."""
    return make_listing(db, owner.user)


@pytest.fixture
def live_storage(tmp_path: Path, live_app: Any) -> Iterator[LocalStorage]:
    """A folder of the test's own, which the application on the database that commits uses meanwhile."""
    before = live_app.registry.storage
    live_app.registry.storage = LocalStorage(tmp_path / "files", UrlSigner.from_secret("secret"))
    yield live_app.registry.storage
    live_app.registry.storage = before
