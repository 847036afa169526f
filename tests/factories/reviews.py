"""Reviews and bookmarks for tests, written by the domain itself."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.domain.catalog import bookmarks
from marketplace_api.domain.community.reviews import writing
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.models.identity.accounts import User


def actor_of(user: User) -> Actor:
    """``user`` as who acts."""
    return Actor(user.user_id, user.username, frozenset(user.roles), user.state)


def make_review(
    session: Session, author: User, *, listing: Any = None, person: User | None = None, **values: Any
) -> Any:
    """A review by ``author`` of a listing's row or of a person; returns its row."""
    fields = {"rating": 4, "comment": "As described.", **values}
    if listing is not None:
        fields["listing_id"] = listing.listing_id
    if person is not None:
        fields["reviewee_id"] = person.user_id
    row = writing.post(session, actor_of(author), **fields)
    session.commit()
    return row


def make_bookmark(session: Session, user: User, listing: Any) -> Any:
    """A bookmark of ``user``'s; returns ``bookmark_id``, ``user_id`` and ``listing_id``."""
    row, _was_there = bookmarks.add(session, actor_of(user), listing.listing_id)
    session.commit()
    return row


def ratings(session: Session, table: str, key: str, value: int) -> tuple[int, int, list[int]]:
    """``rating_count``, ``rating_sum`` and ``rating_histogram`` as the database keeps them."""
    statement = f"SELECT rating_count, rating_sum, rating_histogram FROM {table} WHERE {key} = :value"
    row = session.execute(sa.text(statement), {"value": value}).one()
    return row.rating_count, row.rating_sum, row.rating_histogram
