"""Those who call most often."""

from __future__ import annotations

import pytest

from tests.client import Client
from tests.factories.accounts import People


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
