"""A storage and a listing of somebody for each test."""

from __future__ import annotations

from typing import Any

import pytest

from marketplace_api.gateways.storage import LocalStorage, Storage
from tests.factories.accounts import People
from tests.factories.listings import make_listing
from tests.support.client import Client


@pytest.fixture
def storage(live_storage: LocalStorage) -> LocalStorage:
    return live_storage


@pytest.fixture
def owner(live_people: People, storage: Storage) -> Client:
    return live_people.customer()


@pytest.fixture
def listing(live_people: People, owner: Client) -> Any:
    return make_listing(live_people.session, owner.user)
