"""Photos for tests."""

from __future__ import annotations

import hashlib
from io import BytesIO
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.gateways.storage import Storage, new_key
from marketplace_api.models.files import File, ListingPhoto
from marketplace_api.models.listings import Listing
from tests.factories.images import make_image


def make_photo(session: Session, listing: Any, storage: Storage | None = None) -> ListingPhoto:
    """The first photo of the listing, in whatever state that is; its files only where a ``storage`` is given."""
    content = make_image("WEBP")
    keys = {f"{size}_key": new_key("photo", "webp", size) for size in ("full", "card", "thumb")}
    for key in keys.values():
        facts = {"content_type": "image/webp", "size": len(content), "sha256": hashlib.sha256(content).digest()}
        session.add(File(key=key, kind="photo", owner_id=listing.user_id, state="stored", **facts))
        if storage is not None:
            storage.put(key, BytesIO(content))
    session.flush()
    photo = ListingPhoto(listing_id=listing.listing_id, position=0, width=64, height=48, **keys)
    session.add(photo)
    session.flush()
    session.execute(sa.update(Listing).where(Listing.listing_id == listing.listing_id).values(photo_count=1))
    session.commit()
    return photo
