"""Listings for tests."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.domain.catalog.listings import queries
from marketplace_api.models.catalog.listings import Listing
from marketplace_api.models.identity.accounts import User


def make_listing(session: Session, owner: User, **values: Any) -> Any:
    """An active listing of ``owner``'s; returns its row."""
    fields = {
        "title": "Road bicycle",
        "description": "A light bicycle with many gears.",
        "category": "bicycles",
        "price": Decimal("250.00"),
        "currency": "EUR",
        "address": "Kastanienallee 7",
        "city": "Berlin",
        "state": "BE",
        "country": "Germany",
        "latitude": Decimal("52.538123"),
        "longitude": Decimal("13.410456"),
        "amenities": ["lights"],
        "user_id": owner.user_id,
        **values,
    }
    if fields.get("status") == "suspended":
        fields.setdefault("suspended_from", "active")
    statement = sa.insert(Listing.__table__).values(fields).returning(*queries.COLUMNS)
    row = session.execute(statement).one()
    session.commit()
    return row
