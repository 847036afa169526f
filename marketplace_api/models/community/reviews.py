"""Reviews: what an account says of a listing or of another account.

Triggers of the database add every standing review to the ratings of what it is about (``rating_count``, ``rating_sum``,
``rating_histogram``), take a deleted one off again, and refuse a review of one's own listing or one that changes
its author or target; see the revision that made this table.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from marketplace_api.database.base import Base, BigId, BigInt, Created, Timestamp, Version

_STANDING = "deleted_at IS NULL"


class Review(Base):
    """One review; a deleted one counts nowhere and is read by its author and moderators only."""

    __tablename__ = "reviews"

    review_id: Mapped[BigId]
    listing_id: Mapped[BigInt | None] = mapped_column(sa.ForeignKey("listings.listing_id", ondelete="CASCADE"))
    reviewee_id: Mapped[BigInt | None] = mapped_column(sa.ForeignKey("users.user_id", ondelete="CASCADE"))
    reviewer_id: Mapped[BigInt] = mapped_column(sa.ForeignKey("users.user_id", ondelete="CASCADE"))
    rating: Mapped[int] = mapped_column(sa.SmallInteger)
    comment: Mapped[str] = mapped_column(sa.Text)
    date_posted: Mapped[Created]
    date_updated: Mapped[Created]
    reply: Mapped[str | None] = mapped_column(sa.Text)
    date_replied: Mapped[Timestamp | None]
    deleted_at: Mapped[Timestamp | None]
    moderation_reason: Mapped[str | None] = mapped_column(sa.Text)
    version: Mapped[Version]

    __table_args__ = (
        sa.CheckConstraint("num_nonnulls(listing_id, reviewee_id) = 1", "one_target"),
        sa.CheckConstraint("reviewer_id <> reviewee_id", "not_of_oneself"),
        sa.CheckConstraint("rating BETWEEN 1 AND 5", "rating"),
        sa.CheckConstraint("length(comment) BETWEEN 1 AND 5000", "comment"),
        sa.CheckConstraint("length(reply) BETWEEN 1 AND 5000", "reply"),
        sa.CheckConstraint("reply IS NULL OR date_replied IS NOT NULL", "date_replied"),
        sa.CheckConstraint("deleted_at IS NULL OR moderation_reason IS NOT NULL", "moderation_reason"),
        # A deleted review does not keep its author from another try.
        *(
            sa.Index(
                f"uq_reviews_{target}",
                "reviewer_id",
                target,
                unique=True,
                postgresql_where=sa.text(f"{_STANDING} AND {target} IS NOT NULL"),
            )
            for target in ("listing_id", "reviewee_id")
        ),
        *(
            sa.Index(f"ix_reviews_{target}", target, "review_id", postgresql_where=sa.text(f"{target} IS NOT NULL"))
            for target in ("listing_id", "reviewee_id")
        ),
        sa.Index("ix_reviews_reviewer_id", "reviewer_id", "review_id"),
    )
