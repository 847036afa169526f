"""The videos of listings."""

from __future__ import annotations

from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from marketplace_api.database.base import Base, BigInt, Created
from marketplace_api.models.media.files import file_key


class ListingVideo(Base):
    """The video of a listing and the frame that stands for it; width and height are pixels as it is shown."""

    __tablename__ = "listing_videos"

    listing_id: Mapped[BigInt] = mapped_column(
        sa.ForeignKey("listings.listing_id", ondelete="CASCADE"), primary_key=True
    )
    seconds: Mapped[Decimal] = mapped_column(sa.Numeric(7, 2))
    width: Mapped[int]
    height: Mapped[int]
    video_key: Mapped[str] = file_key()
    poster_key: Mapped[str] = file_key()
    is_broken: Mapped[bool] = mapped_column(server_default=sa.false())
    date_created: Mapped[Created]

    __table_args__ = (
        sa.CheckConstraint("width > 0 AND height > 0", "size"),
        sa.CheckConstraint("seconds > 0", "seconds"),
    )
