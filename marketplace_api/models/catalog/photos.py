"""The photos of listings."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from marketplace_api.database.base import Base, BigId, BigInt, Created
from marketplace_api.models.media.files import file_key

MOST_PHOTOS = 24
LONGEST_ALT_TEXT = 300


class ListingPhoto(Base):
    """A photo of a listing in its three sizes; width and height are those of the largest, in pixels."""

    __tablename__ = "listing_photos"

    photo_id: Mapped[BigId]
    listing_id: Mapped[BigInt] = mapped_column(sa.ForeignKey("listings.listing_id", ondelete="CASCADE"))
    position: Mapped[int] = mapped_column(sa.SmallInteger)
    alt_text: Mapped[str] = mapped_column(sa.String(LONGEST_ALT_TEXT), server_default="")
    width: Mapped[int]
    height: Mapped[int]
    full_key: Mapped[str] = file_key()
    card_key: Mapped[str] = file_key()
    thumb_key: Mapped[str] = file_key()
    is_broken: Mapped[bool] = mapped_column(server_default=sa.false())
    date_created: Mapped[Created]

    __table_args__ = (
        sa.UniqueConstraint("listing_id", "position"),
        # The upper half is where photos wait while their order changes, so that no two ever share a place.
        sa.CheckConstraint(f"position BETWEEN 0 AND {2 * MOST_PHOTOS - 1}", "position"),
        sa.CheckConstraint("width > 0 AND height > 0", "size"),
    )
