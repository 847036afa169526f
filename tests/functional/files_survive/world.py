"""Files of listings on a storage that can fail, and how database and storage are held together."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from marketplace_api.database.engines import Databases
from marketplace_api.domain.media.files import store
from marketplace_api.domain.media.files.sweep import Report, sweep
from marketplace_api.gateways.storage import Storage
from marketplace_api.models.catalog.listings import Listing
from marketplace_api.models.catalog.photos import ListingPhoto
from marketplace_api.models.media.files import File
from tests.factories.images import make_image
from tests.support.client import Client

PNG = make_image("PNG")
SOON = timedelta(minutes=5)
LATER = timedelta(hours=2)


def path_of(row: Any) -> str:
    return f"/api/listings/{row.listing_id}/photos"


def add(client: Client, row: Any) -> Any:
    return client.request("POST", path_of(row), {"file": PNG})


def swept(databases: Databases, storage: Storage, after: timedelta) -> Report:
    with databases.session() as session:
        return sweep(session, storage, datetime.now(UTC) + after)


def states(databases: Databases) -> list[str]:
    with databases.session() as session:
        return list(session.execute(sa.select(File.state)).scalars())


def objects(storage: Storage) -> set[str]:
    return {file.key for kind in store.KINDS for file in storage.walk(f"{kind}-")}


def assert_together(databases: Databases, storage: Storage) -> None:
    """Each row has its object and each object its row; each photo has three of them, each listing counts right."""
    with databases.session() as session:
        rows = set(session.execute(sa.select(File.key).where(File.state == "stored")).scalars())
        assert rows == objects(storage)
        assert session.scalar(sa.select(sa.func.count()).where(File.state != "stored")) == 0
        used = session.execute(sa.select(ListingPhoto.full_key, ListingPhoto.card_key, ListingPhoto.thumb_key)).all()
        assert {key for keys in used for key in keys} == rows
        counted = session.execute(sa.select(Listing.listing_id, Listing.photo_count)).all()
        for listing_id, count in counted:
            places = session.execute(sa.select(ListingPhoto.position).where(ListingPhoto.listing_id == listing_id))
            assert sorted(places.scalars()) == list(range(count))
