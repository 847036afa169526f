"""Bookmarks: which listings an account wants to find again."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from marketplace_api.database.base import Base, BigId, BigInt, Created


class Bookmark(Base):
    """A listing that an account keeps; it stays when the listing is taken down."""

    __tablename__ = "bookmarks"

    bookmark_id: Mapped[BigId]
    user_id: Mapped[BigInt] = mapped_column(sa.ForeignKey("users.user_id", ondelete="CASCADE"))
    listing_id: Mapped[BigInt] = mapped_column(sa.ForeignKey("listings.listing_id", ondelete="CASCADE"))
    date_bookmarked: Mapped[Created]

    __table_args__ = (
        sa.UniqueConstraint("user_id", "listing_id"),
        # The list of one account, newest first; and who is to be told, or counted, of one listing.
        sa.Index("ix_bookmarks_user_id", "user_id", "bookmark_id"),
        sa.Index("ix_bookmarks_listing_id", "listing_id", "user_id"),
    )
