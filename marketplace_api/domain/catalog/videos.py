"""The video of a listing: at most one, with a frame that stands for it. Who changes it holds the listing's row."""

from __future__ import annotations

import tempfile
from typing import IO, Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database.base import table_of
from marketplace_api.database.engines import Databases
from marketplace_api.database.prepared import Prepared, Reader
from marketplace_api.domain.catalog.listings import editing, queries, workflow
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.kernel.events import EventType
from marketplace_api.domain.media.files import store
from marketplace_api.errors import NotFound, Unavailable
from marketplace_api.gateways import video
from marketplace_api.gateways.storage import Storage, new_key, new_name
from marketplace_api.models.catalog.listings import Listing
from marketplace_api.models.catalog.videos import ListingVideo

KIND = "video"

_t = table_of(ListingVideo)
_v = _t.c

COLUMNS = (_v.listing_id, _v.seconds, _v.width, _v.height, _v.video_key, _v.poster_key)
"""What the representation of a video is made from."""

_WITHDRAWN = Prepared(
    sa.select(sa.true())
    .select_from(_t.join(table_of(Listing), Listing.listing_id == _v.listing_id))
    .where(sa.or_(_v.video_key == sa.bindparam("key"), _v.poster_key == sa.bindparam("key")), ~Listing.is_public)
)
_FIND = Prepared(sa.select(*COLUMNS).where(_v.listing_id == sa.bindparam("listing_id"), ~_v.is_broken))


def is_withdrawn(db: Reader, key: str) -> bool:
    """Whether this file is of a video whose listing is not public; see the photos'."""
    return _WITHDRAWN.first(db, {"key": key}) is not None


def find(db: Reader, listing_id: int) -> Any | None:
    """The row of the listing's video, or ``None``."""
    return _FIND.first(db, {"listing_id": listing_id})


def replace(
    session: Session,
    databases: Databases,
    storage: Storage,
    actor: Actor,
    listing: Any,
    *,
    stream: IO[bytes],
    most_seconds: int,
    expected_version: int | None = None,
) -> Any:
    """Make the video in ``stream`` the listing's (its row as it was read), instead of another; returns the row.

    Raises Invalid (``invalid_file``), Conflict (``wrong_state``), NotFound, Gone, PreconditionFailed, and Unavailable
    while the storage is away or the disk is full.
    """
    queries.require_version(listing.version, expected_version)
    with tempfile.NamedTemporaryFile() as packed:
        try:
            found = video.prepare(stream, packed.name, most_seconds=most_seconds)
        except OSError as error:
            message = f"There is no room to prepare the video ({error.strerror}); nothing was saved."
            raise Unavailable(message, retry_after=30) from error
        name = new_name()
        keys = new_key(KIND, found.ending, name=name), new_key(KIND, "webp", "poster", name)
        with store.staged(
            databases, storage, listing.user_id, dict(zip(keys, (packed.file, found.poster), strict=True))
        ):
            locked = workflow.lock_editable(session, listing.listing_id, expected_version, "set-video")
            _release(session, _v.listing_id == locked.listing_id)
            store.commit_staged(session, keys)
            values = {
                "listing_id": locked.listing_id,
                "seconds": round(found.seconds, 2),
                "width": found.width,
                "height": found.height,
                "video_key": keys[0],
                "poster_key": keys[1],
            }
            row = session.execute(sa.insert(_t).values(values).returning(*COLUMNS)).one()
            _changed(session, actor, locked, has_video=True)
    return row


def remove(session: Session, actor: Actor, listing_id: int, *, expected_version: int | None = None) -> None:
    """Take the video away; its files go after the commit. Raises NotFound, Gone, Conflict, PreconditionFailed."""
    locked = workflow.lock_editable(session, listing_id, expected_version, "remove-video")
    if not _release(session, _v.listing_id == listing_id):
        raise NotFound("The listing has no video.")
    _changed(session, actor, locked, has_video=False)


def forget_all(session: Session, user_id: int) -> None:
    """Take the videos off the listings of an account that is erased; their files go after the commit."""
    mine = sa.select(Listing.listing_id).where(Listing.user_id == user_id)
    _release(session, _v.listing_id.in_(mine))
    session.execute(
        sa.update(Listing)
        .where(Listing.user_id == user_id, Listing.has_video)
        .values(has_video=False)
        .execution_options(synchronize_session=False)
    )


def _release(session: Session, condition: sa.ColumnElement[bool]) -> bool:
    """Whether there was any."""
    gone = session.execute(sa.delete(_t).where(condition).returning(_v.video_key, _v.poster_key)).all()
    store.mark_for_deletion(session, [key for keys in gone for key in keys])
    return bool(gone)


def _changed(session: Session, actor: Actor, row: Any, *, has_video: bool) -> None:
    editing.media_changed(
        session,
        actor,
        row,
        EventType.LISTING_VIDEO_CHANGED,
        values={"has_video": has_video},
        previous={"has_video": row.has_video},
        new={"has_video": has_video},
    )
