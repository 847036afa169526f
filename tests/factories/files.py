"""Photos and videos for tests."""

from __future__ import annotations

import hashlib
from io import BytesIO
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.gateways.storage import Storage, content_type_of, new_key
from marketplace_api.models.catalog.listings import Listing
from marketplace_api.models.catalog.photos import ListingPhoto
from marketplace_api.models.catalog.videos import ListingVideo
from marketplace_api.models.media.files import File
from tests.factories.images import make_image
from tests.factories.videos import make_video


def make_photo(session: Session, listing: Any, storage: Storage | None = None) -> ListingPhoto:
    """The first photo of the listing, in whatever state that is; its files only where a ``storage`` is given."""
    keys = {f"{size}_key": new_key("photo", "webp", size) for size in ("full", "card", "thumb")}
    _keep(session, listing, dict.fromkeys(keys.values(), make_image("WEBP")), storage)
    photo = ListingPhoto(listing_id=listing.listing_id, position=0, width=64, height=48, **keys)
    session.add(photo)
    session.flush()
    session.execute(sa.update(Listing).where(Listing.listing_id == listing.listing_id).values(photo_count=1))
    session.commit()
    return photo


def give_video(session: Session, listing: Any, storage: Storage | None = None) -> ListingVideo:
    """The listing's video, in whatever state that is; its files only where a ``storage`` is given."""
    keys = {"video_key": new_key("video", "mp4"), "poster_key": new_key("video", "webp", "poster")}
    contents = {keys["video_key"]: make_video(seconds=1), keys["poster_key"]: make_image("WEBP")}
    _keep(session, listing, contents, storage)
    video = ListingVideo(listing_id=listing.listing_id, seconds=1, width=160, height=90, **keys)
    session.add(video)
    session.flush()
    session.execute(sa.update(Listing).where(Listing.listing_id == listing.listing_id).values(has_video=True))
    session.commit()
    return video


def _keep(session: Session, listing: Any, contents: dict[str, bytes], storage: Storage | None) -> None:
    for key, content in contents.items():
        facts = {"content_type": content_type_of(key), "size": len(content), "sha256": hashlib.sha256(content).digest()}
        session.add(File(key=key, kind=key.partition("-")[0], owner_id=listing.user_id, state="stored", **facts))
        if storage is not None:
            storage.put(key, BytesIO(content))
    session.flush()
