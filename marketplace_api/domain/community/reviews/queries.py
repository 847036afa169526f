"""The light rows that reading a review gives, and finding and locking reviews and what they are about."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database.base import table_of
from marketplace_api.database.prepared import Prepared, Reader
from marketplace_api.domain.community.reviews.eligibility import Obstacle, ReviewRules
from marketplace_api.domain.identity.accounts.queries import LIVING
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.errors import Conflict, Gone, NotFound, PreconditionFailed
from marketplace_api.models.catalog.listings import Listing
from marketplace_api.models.community.reviews import Review
from marketplace_api.models.identity.accounts import User

_r = table_of(Review).c
_listing = table_of(Listing).alias("listing")
_author, _person = table_of(User).alias("author"), table_of(User).alias("person")


def _lives(account: sa.FromClause) -> sa.ColumnElement[bool]:
    return sa.or_(*(account.c.state == sa.literal_column(f"'{state}'") for state in LIVING))


COLUMNS = (
    _r.review_id,
    _r.listing_id,
    _r.reviewee_id,
    _r.reviewer_id,
    _r.rating,
    _r.comment,
    _r.date_posted,
    _r.date_updated,
    _r.reply,
    _r.date_replied,
    _r.deleted_at,
    _r.moderation_reason,
    _r.version,
    sa.case((_lives(_author), _author.c.username)).label("reviewer_username"),
    sa.func.coalesce(_r.reviewee_id, _listing.c.user_id).label("reviewed_id"),
    sa.func.coalesce(_listing.c.is_public, _lives(_person)).label("target_is_public"),
)
"""What every representation of a review is made from. ``reviewer_username`` is ``None`` once that account is gone;
``reviewed_id`` is the person reviewed, or the owner of the listing."""

SOURCE = (
    table_of(Review)
    .join(_author, _author.c.user_id == _r.reviewer_id)
    .outerjoin(_listing, _listing.c.listing_id == _r.listing_id)
    .outerjoin(_person, _person.c.user_id == _r.reviewee_id)
)

_FIND = sa.select(*COLUMNS).select_from(SOURCE).where(_r.review_id == sa.bindparam("review_id"))
_FIND_PREPARED = Prepared(_FIND)

_STANDING = {
    column.name: Prepared(
        sa.text(
            f"SELECT {column.name}, review_id FROM reviews "  # noqa: S608  made of constants only
            f"WHERE reviewer_id = :reviewer_id AND {column.name} = ANY(CAST(:targets AS bigint[]))"
            " AND deleted_at IS NULL"
        )
    )
    for column in (_r.listing_id, _r.reviewee_id)
}


def find(db: Reader, review_id: int) -> Any | None:
    """The row of one review, also of a deleted one, or ``None``; the caller asks the ACL who may see it."""
    return _FIND_PREPARED.first(db, {"review_id": review_id})


def standing(db: Reader, reviewer_id: int, kind: str, targets: Collection[int]) -> Mapping[int, int]:
    """The standing reviews by ``reviewer_id``: target id to review id. ``kind``: ``listing_id`` or ``reviewee_id``."""
    if not targets:
        return {}
    found = _STANDING[kind].all(db, {"reviewer_id": reviewer_id, "targets": list(targets)})
    return {row[0]: row.review_id for row in found}


_FACTS = Prepared(
    sa.text(
        """
    SELECT person.user_id,
        author.email_confirmed_at IS NULL AS is_unconfirmed,
        author.date_joined > now() - make_interval(days => CAST(:account_days AS integer)) AS is_too_new,
        EXISTS (
            SELECT FROM blocks WHERE blocks.user_id = person.user_id AND blocks.blocked_id = :caller
        ) AS is_blocked,
        CAST(:need_conversation AS boolean) AND NOT EXISTS (
            SELECT FROM conversations AS held
            WHERE held.participant1_id = least(person.user_id, CAST(:caller AS bigint))
                AND held.participant2_id = greatest(person.user_id, CAST(:caller AS bigint))
                AND EXISTS (
                    SELECT FROM messages AS sent
                    WHERE sent.conversation_id = held.conversation_id AND sent.sender_id = :caller
                )
                AND EXISTS (
                    SELECT FROM messages AS got
                    WHERE got.conversation_id = held.conversation_id AND got.sender_id = person.user_id
                )
        ) AS is_stranger
    FROM unnest(CAST(:user_ids AS bigint[])) AS person (user_id)
    JOIN users AS author ON author.user_id = :caller
    """
    )
)


def obstacles(db: Reader, actor: Actor, rules: ReviewRules, user_ids: Collection[int]) -> Mapping[int, Obstacle]:
    """Those of ``user_ids`` whom, and whose listings, ``actor`` may not review, each with why; in one query."""
    wanted = [user_id for user_id in set(user_ids) if not actor.owns(user_id)]
    if actor.user_id is None or not wanted:
        return {}
    values = {
        "caller": actor.user_id,
        "user_ids": wanted,
        "account_days": rules.account_days,
        "need_conversation": rules.need_conversation,
    }
    found = {row.user_id: _obstacle_of(row) for row in _FACTS.all(db, values)}
    return {user_id: obstacle for user_id, obstacle in found.items() if obstacle is not None}


def _obstacle_of(row: Any) -> Obstacle | None:
    """The first that there is: what nothing can be done about goes before the rest."""
    facts = (
        (row.is_blocked, Obstacle.BLOCKED),
        (row.is_unconfirmed, Obstacle.UNCONFIRMED),
        (row.is_too_new, Obstacle.TOO_NEW),
        (row.is_stranger, Obstacle.NO_CONVERSATION),
    )
    return next((obstacle for is_so, obstacle in facts if is_so), None)


def lock_target(session: Session, listing_id: int | None, reviewee_id: int | None) -> None:
    """Hold the rated row until the transaction ends.

    Whoever changes what a rating is made of locks the target first and the review second; so they meet in one order and
    never wait for each other in a circle.
    """
    if listing_id is not None:
        statement = sa.select(Listing.listing_id).where(Listing.listing_id == listing_id)
    else:
        statement = sa.select(User.user_id).where(User.user_id == reviewee_id)
    session.execute(statement.with_for_update(key_share=True))


def lock(
    session: Session, review_id: int, expected_version: int | None, *, with_target: bool, deleted: bool = False
) -> Any:
    """The row, held until the transaction ends; ``with_target`` for changes that may move a rating.

    Raises NotFound, PreconditionFailed when its version is not the expected one, and Gone for a deleted one. Where a
    ``deleted`` one is asked for, Conflict for one that is there.
    """
    row = find(session, review_id)
    if row is not None and with_target:
        lock_target(session, row.listing_id, row.reviewee_id)
    held = session.execute(_FIND.with_for_update(key_share=True, of=table_of(Review)), {"review_id": review_id}).first()
    if held is None:
        raise NotFound("There is no such review.")
    if held.deleted_at is not None and not deleted:
        raise gone()
    if held.deleted_at is None and deleted:
        raise published()
    if expected_version is not None and held.version != expected_version:
        raise PreconditionFailed("It changed since you read it; `current` shows what it is now.")
    return held


def published() -> Conflict:
    return Conflict("The review is there.", "wrong_state", extra={"state": "published"})


def gone() -> Gone:
    return Gone("This review was deleted.")
