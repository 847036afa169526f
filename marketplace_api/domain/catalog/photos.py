"""The photos of a listing: at most 24, in an order, each in three sizes. Who changes them holds the listing's row."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import IO, Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from marketplace_api.database.base import table_of
from marketplace_api.database.engines import Databases
from marketplace_api.database.prepared import Prepared, Reader
from marketplace_api.domain.catalog.listings import editing, queries, workflow
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.kernel.events import EventType
from marketplace_api.domain.media.files import store
from marketplace_api.errors import Conflict, FieldError, Invalid, NotFound
from marketplace_api.gateways import images
from marketplace_api.gateways.storage import Storage, new_key, new_name
from marketplace_api.models.catalog.listings import Listing
from marketplace_api.models.catalog.photos import MOST_PHOTOS, ListingPhoto

KIND = "photo"

_t = table_of(ListingPhoto)
_p = _t.c

COLUMNS = (_p.photo_id, _p.listing_id, _p.alt_text, _p.width, _p.height, _p.full_key, _p.card_key, _p.thumb_key)
"""What the representation of a photo is made from."""

_FIND = Prepared(
    sa.select(*COLUMNS).where(
        _p.photo_id == sa.bindparam("photo_id"), _p.listing_id == sa.bindparam("listing_id"), ~_p.is_broken
    )
)
_WITHDRAWN = Prepared(
    sa.select(sa.true())
    .select_from(_t.join(table_of(Listing), Listing.listing_id == _p.listing_id))
    .where(sa.or_(*(column == sa.bindparam("key") for column in (_p.full_key, _p.card_key, _p.thumb_key))))
    .where(~Listing.is_public)
)
_OF_LISTINGS = Prepared(
    sa.select(*COLUMNS)
    .where(_p.listing_id == sa.any_(sa.bindparam("listing_ids", type_=postgresql.ARRAY(sa.BigInteger))), ~_p.is_broken)
    .order_by(_p.listing_id, _p.position)
)
_PLACES = (
    sa.select(_p.photo_id, _p.alt_text, _p.is_broken)
    .where(_p.listing_id == sa.bindparam("listing_id"))
    .order_by(_p.position)
)


def find(db: Reader, listing_id: int, photo_id: int) -> Any | None:
    """The row of one photo of this listing, or ``None``."""
    return _FIND.first(db, {"listing_id": listing_id, "photo_id": photo_id})


def is_withdrawn(db: Reader, key: str) -> bool:
    """Whether this file is of a photo whose listing is not public: a draft, suspended, deleted, its owner banned …"""
    return _WITHDRAWN.first(db, {"key": key}) is not None


def of_listings(db: Reader, listings: Collection[Any]) -> dict[int, list[Any]]:
    """The photos of these rows of listings by listing id, each list in its order; one query, none without photos."""
    ids = [row.listing_id for row in listings if row.photo_count]
    found: dict[int, list[Any]] = {}
    for photo in _OF_LISTINGS.all(db, {"listing_ids": ids}) if ids else ():
        found.setdefault(photo.listing_id, []).append(photo)
    return found


def add(
    session: Session,
    databases: Databases,
    storage: Storage,
    actor: Actor,
    listing: Any,
    *,
    stream: IO[bytes],
    alt_text: str = "",
    expected_version: int | None = None,
) -> Any:
    """Put the image in ``stream`` behind the others of the listing (its row as it was read); returns the photo's row.

    Raises Invalid (``invalid_file``), Conflict (``too_many_photos``, ``wrong_state``), NotFound, Gone,
    PreconditionFailed, and Unavailable while the storage is away.
    """
    _require_room(listing)  # decoding costs most, so what is hopeless is refused before it
    queries.require_version(listing.version, expected_version)
    return put(
        session,
        databases,
        storage,
        actor,
        listing,
        variants=images.photo_variants(stream),
        alt_text=alt_text,
        expected_version=expected_version,
    )


def put(
    session: Session,
    databases: Databases,
    storage: Storage,
    actor: Actor,
    listing: Any,
    *,
    variants: Mapping[str, images.Variant],
    alt_text: str = "",
    expected_version: int | None = None,
) -> Any:
    """:func:`add` for an image that was made into its variants before."""
    name = new_name()
    contents = {new_key(KIND, "webp", size, name): variant.content for size, variant in variants.items()}
    with store.staged(databases, storage, listing.user_id, contents) as keys:
        locked = workflow.lock_editable(session, listing.listing_id, expected_version, "add-photo")
        _require_room(locked)
        store.commit_staged(session, keys)
        values = {
            "listing_id": locked.listing_id,
            "position": locked.photo_count,
            "alt_text": alt_text,
            "width": variants["full"].width,
            "height": variants["full"].height,
            **{f"{size}_key": new_key(KIND, "webp", size, name) for size in variants},
        }
        photo = session.execute(sa.insert(_t).values(values).returning(*COLUMNS)).one()
        new = {"photos": locked.photo_count + 1, "added": photo.photo_id}
        _changed(session, actor, locked, locked.photo_count + 1, new)
    return photo


def remove(
    session: Session, actor: Actor, listing_id: int, photo_id: int, *, expected_version: int | None = None
) -> None:
    """Take a photo away; its files go after the commit. Raises NotFound, Gone, Conflict, PreconditionFailed."""
    listing = workflow.lock_editable(session, listing_id, expected_version, "remove-photo")
    gone = sa.delete(_t).where(_p.photo_id == photo_id, _p.listing_id == listing_id)
    photo = session.execute(gone.returning(_p.full_key, _p.card_key, _p.thumb_key)).first()
    if photo is None:
        raise NotFound("There is no such photo.")
    store.mark_for_deletion(session, list(photo))
    _place(session, listing_id, [place.photo_id for place in _places(session, listing_id)])
    new = {"photos": listing.photo_count - 1, "removed": photo_id}
    _changed(session, actor, listing, listing.photo_count - 1, new)


def arrange(
    session: Session,
    actor: Actor,
    listing_id: int,
    order: Sequence[tuple[int, str | None]],
    *,
    expected_version: int | None = None,
) -> Any:
    """Put the photos into this order and give them these alt texts (``None`` keeps one); returns the listing's row.

    ``order`` names every photo once. Raises Invalid for one named twice, Conflict where it names others than there
    are, and as :func:`remove`.
    """
    listing = workflow.lock_editable(session, listing_id, expected_version, "arrange-photos")
    ids = [photo_id for photo_id, _ in order]
    if len(set(ids)) < len(ids):
        error = FieldError("body", "photos", "repeated", "Name each photo once.")
        raise Invalid("photos: Name each photo once.", errors=[error])
    places = _places(session, listing_id)
    shown = [place.photo_id for place in places if not place.is_broken]
    if set(ids) != set(shown):
        message = "The photos are others by now; name each that there is once."
        raise Conflict(message, extra={"photos": shown}, link=f"/api/listings/{listing_id}/photos")
    texts = {place.photo_id: place.alt_text for place in places}
    changed = [photo_id for photo_id, text in order if text is not None and text != texts[photo_id]]
    if ids == shown and not changed:
        return listing
    _place(session, listing_id, [*ids, *(place.photo_id for place in places if place.is_broken)])
    for photo_id, text in order:
        if photo_id in changed:
            session.execute(sa.update(_t).where(_p.photo_id == photo_id).values(alt_text=text))
    return _changed(session, actor, listing, listing.photo_count, {"order": ids, "texts": changed})


def _changed(session: Session, actor: Actor, row: Any, count: int, told: dict[str, Any]) -> Any:
    """``row`` has ``count`` photos now; returns its new row."""
    return editing.media_changed(
        session,
        actor,
        row,
        EventType.LISTING_PHOTOS_CHANGED,
        values={"photo_count": count},
        previous={"photos": row.photo_count},
        new=told,
    )


def forget_all(session: Session, user_id: int) -> None:
    """Take all photos off the listings of an account that is erased; their files go after the commit."""
    mine = sa.select(Listing.listing_id).where(Listing.user_id == user_id)
    gone = sa.delete(_t).where(_p.listing_id.in_(mine)).returning(_p.full_key, _p.card_key, _p.thumb_key)
    keys = [key for row in session.execute(gone) for key in row]
    store.mark_for_deletion(session, keys)
    session.execute(
        sa.update(Listing)
        .where(Listing.user_id == user_id, Listing.photo_count > 0)
        .values(photo_count=0)
        .execution_options(synchronize_session=False)
    )


def _require_room(listing: Any) -> None:
    if listing.photo_count >= MOST_PHOTOS:
        raise too_many(listing)


def too_many(listing: Any) -> Conflict:
    """The refusal of a photo for which the listing has no room."""
    return Conflict(
        f"A listing has {MOST_PHOTOS} photos at most; remove one first.",
        code="too_many_photos",
        link=f"/api/listings/{listing.listing_id}/photos",
    )


def _places(session: Session, listing_id: int) -> Sequence[Any]:
    return session.execute(_PLACES, {"listing_id": listing_id}).all()


def _place(session: Session, listing_id: int, ids: Sequence[int]) -> None:
    """Number the photos in this order, by way of places where none can be."""
    mine = sa.update(_t).where(_p.listing_id == listing_id)
    session.execute(mine.values(position=_p.position + MOST_PHOTOS))
    place = sa.func.array_position(sa.cast(list(ids), postgresql.ARRAY(sa.BigInteger)), _p.photo_id) - 1
    session.execute(mine.values(position=place))
