"""The picture of an account: one of ours, sent by its owner, or an address elsewhere (``profiles.edit``).

Of ours the account holds the path of its file, so that it is found wherever the service and its files are fetched from.
"""

from __future__ import annotations

from typing import IO, Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database.base import table_of
from marketplace_api.database.engines import Databases
from marketplace_api.domain.identity.accounts import queries
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.kernel.events import EventType, record
from marketplace_api.domain.media.files import store
from marketplace_api.errors import PreconditionFailed
from marketplace_api.gateways import images
from marketplace_api.gateways.storage import Storage, new_key, new_name
from marketplace_api.models.identity.accounts import User
from marketplace_api.models.identity.pictures import UserPicture

KIND = "picture"
PATH = "/files/"

_t = table_of(UserPicture)


def replace(
    session: Session,
    databases: Databases,
    storage: Storage,
    actor: Actor,
    user_id: int,
    *,
    stream: IO[bytes],
    expected_version: int | None = None,
) -> None:
    """Make the image in ``stream`` the account's picture.

    Raises Invalid (``invalid_file``), NotFound, PreconditionFailed, and Unavailable while the storage is away.
    """
    name = new_name()
    variants = images.picture_variants(stream)
    contents = {new_key(KIND, "webp", size, name): variant.content for size, variant in variants.items()}
    with store.staged(databases, storage, user_id, contents) as keys:
        user, now = _lock(session, user_id, expected_version)
        release(session, user_id)
        store.commit_staged(session, keys)
        card, thumb = (new_key(KIND, "webp", size, name) for size in ("card", "thumb"))
        session.execute(sa.insert(_t).values(user_id=user_id, card_key=card, thumb_key=thumb))
        _show(session, actor, user, f"{PATH}{card}", now)


def address(base_url: str, stored: str | None) -> str | None:
    """Where a stored picture is fetched; ``base_url`` is where public files are."""
    return f"{base_url}{stored}" if stored is not None and stored.startswith(PATH) else stored


def remove(session: Session, actor: Actor, user_id: int, *, expected_version: int | None = None) -> None:
    """The account has no picture any more, wherever it was; without one this leaves no trace.

    Raises NotFound and PreconditionFailed.
    """
    user, now = _lock(session, user_id, expected_version)
    release(session, user_id)
    if user.profile_picture_url is not None:
        _show(session, actor, user, None, now)


def release(session: Session, user_id: int) -> None:
    """The picture of ours is not the account's any more, if there is one; its files go after the commit."""
    gone = sa.delete(_t).where(_t.c.user_id == user_id).returning(_t.c.card_key, _t.c.thumb_key)
    for keys in session.execute(gone).all():
        store.mark_for_deletion(session, list(keys))


def _lock(session: Session, user_id: int, expected_version: int | None) -> tuple[User, Any]:
    user, now = queries.lock_user(session, user_id)
    if expected_version is not None and user.version != expected_version:
        raise PreconditionFailed("The profile has changed since you read it.", extra={"version": user.version})
    return user, now


def _show(session: Session, actor: Actor, user: User, url: str | None, now: Any) -> None:
    user.profile_picture_url = url
    user.version += 1
    user.date_updated = now
    session.flush()
    record(session, actor, EventType.USER_PICTURE_CHANGED, user.user_id, new={"has_picture": url is not None})
