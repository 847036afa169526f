"""Every bad request must leave no row and no traceback behind."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from tests.factories.accounts import People
from tests.factories.listings import make_listing
from tests.functional.bad_input.world import World, rows


@pytest.fixture
def world(app: Any, db: Session, people: People) -> World:
    owner = people.customer()
    return World(app, owner, make_listing(db, owner.user).listing_id)


@pytest.fixture(autouse=True)
def harmless(world: World, db: Session, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever a test of this folder sends leaves every table as it was and no crash in the log."""
    caplog.set_level(logging.INFO)
    before = rows(db)
    row = db.execute(sa.text("SELECT * FROM listings WHERE listing_id = :id"), {"id": world.listing_id}).one()
    yield
    db.expire_all()
    assert rows(db) == before
    assert db.execute(sa.text("SELECT * FROM listings WHERE listing_id = :id"), {"id": world.listing_id}).one() == row
    crashes = [record.getMessage() for record in caplog.get_records("call") if record.levelno >= logging.WARNING]
    assert crashes == []
