"""Two people whom many tests of one transaction tell of."""

from __future__ import annotations

import pytest
from sqlalchemy.orm import Session

from marketplace_api.models.identity.accounts import User
from tests.factories.accounts import make_user


@pytest.fixture
def anna(db: Session) -> User:
    return make_user(db, username="anna")


@pytest.fixture
def ben(db: Session) -> User:
    return make_user(db, username="ben")
