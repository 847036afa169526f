"""Whether somebody may know of a listing: the rule of the listing's ACL, for operations that name it in their input."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.errors import Gone, NotFound
from marketplace_api.models.catalog.listings import Listing


def is_visible(row: Any, actor: Actor) -> bool:
    """Whether ``actor`` may open it: public ones anybody, others the owner and moderators, deleted ones nobody."""
    return row.deleted_at is None and (row.is_public or _is_concerned(row, actor))


def require_visible(row: Any | None, actor: Actor) -> Any:
    """The ``row`` itself. Raises Gone for a deleted listing and NotFound for one that ``actor`` must not know of."""
    if row is None:
        raise absent()
    if not is_visible(row, actor):
        was_public = row.status in ("active", "sold") and not row.owner_hidden
        raise deleted() if row.deleted_at is not None and (was_public or _is_concerned(row, actor)) else absent()
    return row


def absent() -> NotFound:
    return NotFound("There is no such listing.")


def deleted() -> Gone:
    return Gone("This listing was deleted; nothing was saved.")


def hide_of_owner(session: Session, user_id: int, hidden: bool) -> None:
    """Take an account's listings out of public view, or put them back."""
    session.execute(
        sa.update(Listing)
        .where(Listing.user_id == user_id, Listing.owner_hidden.is_not(hidden))
        .values(owner_hidden=hidden)
        .execution_options(synchronize_session=False)
    )


def _is_concerned(row: Any, actor: Actor) -> bool:
    return actor.owns(row.user_id) or actor.moderates
