"""What deleting and restoring many reviews or messages would come to, before any of them is touched.

The reasons are the refusals of the functions that do it; here is only which of them meets what.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from marketplace_api.database.base import table_of
from marketplace_api.database.prepared import Reader
from marketplace_api.domain.community.reviews import queries as reviews
from marketplace_api.domain.community.reviews import writing
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.trust.moderation import messages
from marketplace_api.domain.trust.moderation.reported_messages import REPORTED
from marketplace_api.domain.trust.moderation.results import PreviewCounts, count_preview
from marketplace_api.models.catalog.listings import Listing
from marketplace_api.models.community.reviews import Review
from marketplace_api.models.identity.accounts import User

_r, _u, _l = table_of(Review).c, table_of(User).c, table_of(Listing).c
_other = table_of(Review).alias("another")

_SUPERSEDED = sa.exists(
    sa.select(sa.literal_column("1")).where(
        _other.c.reviewer_id == _r.reviewer_id,
        _other.c.deleted_at.is_(None),
        _other.c.review_id != _r.review_id,
        sa.or_(_other.c.listing_id == _r.listing_id, _other.c.reviewee_id == _r.reviewee_id),
    )
)


def of_reviews(db: Reader, actor: Actor, action: str, clause: sa.ColumnElement[bool]) -> PreviewCounts:
    """Of the reviews that meet ``clause``; see :data:`~marketplace_api.domain.trust.moderation.results.PreviewCounts`."""
    # Of several by one author only the first comes back. Whether another one stands is looked up only where it matters.
    of_one = (_r.deleted_at.is_(None), _r.reviewer_id, _r.listing_id, _r.reviewee_id)
    place = sa.func.row_number().over(partition_by=of_one, order_by=_r.review_id)
    later = sa.or_(place > 1, _SUPERSEDED)
    superseded = sa.and_(_r.deleted_at.is_not(None), later) if action == "restore" else sa.false()
    owner = sa.select(_l.user_id).where(_l.listing_id == _r.listing_id).scalar_subquery()
    reviewed = sa.func.coalesce(_r.reviewee_id, owner)
    is_own = sa.or_(*(one.is_not_distinct_from(actor.user_id) for one in (_r.reviewer_id, reviewed)))
    chosen = sa.select(
        _r.deleted_at.is_not(None).label("is_deleted"),
        superseded.label("is_superseded"),
        (is_own if actor.user_id is not None else sa.false()).label("is_own"),
    )
    part = chosen.where(clause).subquery("part")
    alike = (part.c.is_deleted, part.c.is_superseded, part.c.is_own)
    groups = db.execute(sa.select(*alike, sa.func.count().label("number")).group_by(*alike)).all()

    def refusal(group: Any) -> str | None:
        if group.is_own:
            return writing.concerned().detail
        if action == "delete":
            return reviews.gone().detail if group.is_deleted else None
        if not group.is_deleted:
            return reviews.published().detail
        return writing.superseded().detail if group.is_superseded else None

    return count_preview(groups, refusal)


def of_messages(db: Reader, actor: Actor, action: str, clause: sa.ColumnElement[bool]) -> PreviewCounts:
    """Of the reported messages that meet ``clause``; see :data:`~marketplace_api.domain.trust.moderation.results.PreviewCounts`."""
    own = REPORTED.c
    is_own = sa.or_(
        own.sender_id.is_not_distinct_from(actor.user_id), own.receiver_id.is_not_distinct_from(actor.user_id)
    )
    alike = (is_own, own.deleted_at.is_(None), _u.state)
    columns = [sa.func.max(own[name]).label(name) for name in ("message_id", "deleted_at")]
    statement = (
        sa.select(*columns, _u.state.label("sender_state"), is_own.label("is_own"), sa.func.count().label("number"))
        .join_from(REPORTED, table_of(User), _u.user_id == own.sender_id)
        .where(clause)
        .group_by(*alike)
    )

    def refusal(group: Any) -> str | None:
        if group.is_own:
            return messages.concerned().detail
        possible = group.deleted_at is None if action == "delete" else messages.is_restorable(group)
        return None if possible else messages.refused(group).detail

    return count_preview(db.execute(statement).all(), refusal)
