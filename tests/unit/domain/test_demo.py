"""The demo data: it loads once, everywhere but in production, and what it holds would pass the API."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.db import Databases
from marketplace_api.domain import demo
from marketplace_api.domain.passwords import verify_password
from marketplace_api.errors import Forbidden
from marketplace_api.models.accounts import User
from marketplace_api.models.categories import Category
from marketplace_api.models.listings import STATUSES, Listing
from marketplace_api.schemas.listings import CreateListing
from marketplace_api.settings import Settings

LISTINGS = [row for name in demo.LISTING_FILES for row in demo._rows(name)]


@pytest.fixture
def loaded(databases: Databases, settings: Settings, db: Session) -> Session:
    demo.load_once(databases, settings)
    return db


def test_the_market_is_full_and_varied(loaded: Session) -> None:
    assert loaded.scalar(sa.select(sa.func.count()).select_from(User)) == 20
    assert loaded.scalar(sa.select(sa.func.count()).select_from(Listing)) == len(LISTINGS) >= 200

    used = set(loaded.scalars(sa.select(Listing.category)))
    parents = set(loaded.scalars(sa.select(Category.parent_slug)))
    assert set(loaded.scalars(sa.select(Category.slug))) - parents <= used, "every leaf of the tree has something"
    assert set(loaded.scalars(sa.select(Listing.currency))) == {"USD", "EUR", "CAD", "GBP"}
    assert len(set(loaded.scalars(sa.select(Listing.city)))) >= 15

    statuses = dict(loaded.execute(sa.select(Listing.status, sa.func.count()).group_by(Listing.status)).all())
    assert statuses["active"] > 150
    assert set(statuses) == set(STATUSES)
    assert loaded.scalar(sa.select(sa.func.count()).where(Listing.is_verified_listing)) >= 20


def test_the_dates_are_recent_and_follow_the_ids(loaded: Session) -> None:
    dates = list(loaded.execute(sa.select(Listing.date_created, Listing.date_updated).order_by(Listing.listing_id)))
    now = datetime.now(UTC)
    assert dates == sorted(dates, key=lambda row: row.date_created)
    assert now - timedelta(days=200) < dates[0].date_created
    assert now - timedelta(days=1) < dates[-1].date_created < now
    assert all(row.date_created <= row.date_updated <= now for row in dates)


def test_every_owner_joined_before_selling(loaded: Session) -> None:
    early = sa.select(sa.func.count()).select_from(Listing).join(User, User.user_id == Listing.user_id)
    assert loaded.scalar(early.where(Listing.date_created < User.date_joined)) == 0


def test_the_printed_log_ins_work(loaded: Session) -> None:
    assert {role for role, _, _ in demo.LOGINS} == {"admin", "moderator", "staff", "customer"}
    for role, email, password in demo.LOGINS:
        user = loaded.scalars(sa.select(User).where(User.email == email)).one()
        assert role in user.roles
        assert user.email_confirmed_at is not None
        assert verify_password(password, user.password_hash or "")


def test_it_loads_once(loaded: Session, databases: Databases, settings: Settings) -> None:
    demo.load_once(databases, settings)
    assert loaded.scalar(sa.select(sa.func.count()).select_from(User)) == 20


def test_two_processes_load_it_once(committed_databases: Databases, settings: Settings) -> None:
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: demo.load_once(committed_databases, settings), range(2)))
    with committed_databases.session() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(User)) == 20


def test_never_in_production(databases: Databases, settings: Settings, db: Session) -> None:
    with pytest.raises(Forbidden):
        demo.load_once(databases, replace(settings, environment="production"))
    assert db.scalar(sa.select(sa.func.count()).select_from(User)) == 0


@pytest.mark.parametrize("row", LISTINGS, ids=lambda row: row["title"])
def test_the_api_would_take_it(row: dict[str, Any]) -> None:
    body = {name: row[name] for name in ("title", "description", "category", "price")}
    amenities = row["amenities"].split("|") if row["amenities"] else []
    assert CreateListing().deserialize({**body, "amenities": amenities})
    assert len(row["description"]) > 40
    assert row["description"].endswith((".", "!"))


def test_no_two_are_alike() -> None:
    assert len({row["title"] for row in LISTINGS}) == len(LISTINGS)
    assert len({row["description"] for row in LISTINGS}) == len(LISTINGS)
