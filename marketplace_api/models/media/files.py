"""Files that the service keeps, and what they are for: the photos of listings, the pictures of people."""

from __future__ import annotations

from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Mapped, mapped_column

from marketplace_api.database.engines import Base, BigId, BigInt, Created

FILE_STATES = ("pending", "stored", "missing", "doomed")
MOST_PHOTOS = 24
LONGEST_ALT_TEXT = 300


KEY = sa.String(100, collation="C")
"""By bytes, so that an index finds keys by how they begin."""


def _key() -> Mapped[str]:
    return mapped_column(KEY, sa.ForeignKey("files.key"), unique=True)


class File(Base):
    """One object in the storage. Its row is there before it and goes after it.

    ``pending``: being written, and forgotten if it stays so. ``stored``: in use. ``missing``: in use, but the storage
    has lost it. ``doomed``: of no use any more, to be deleted.
    """

    __tablename__ = "files"

    key: Mapped[str] = mapped_column(KEY, primary_key=True)
    kind: Mapped[str] = mapped_column(sa.String(20))
    owner_id: Mapped[BigInt] = mapped_column(sa.ForeignKey("users.user_id"))
    content_type: Mapped[str] = mapped_column(sa.String(100))
    size: Mapped[BigInt]
    sha256: Mapped[bytes] = mapped_column(postgresql.BYTEA)
    state: Mapped[str] = mapped_column(sa.String(10), server_default="pending")
    date_created: Mapped[Created]

    __table_args__ = (
        sa.CheckConstraint(r"key ~ '^[a-z]+-[0-9a-f]{32}(-[a-z]+)?\.[a-z0-9]+$'", "key"),
        sa.CheckConstraint(f"state IN ({', '.join(repr(state) for state in FILE_STATES)})", "state"),
        sa.CheckConstraint("size > 0", "size"),
        sa.CheckConstraint("octet_length(sha256) = 32", "sha256"),
        sa.Index("ix_files_owner_id", "owner_id"),
        # What the sweep looks at: few rows of many.
        sa.Index("ix_files_state", "state", "date_created", postgresql_where=sa.text("state <> 'stored'")),
    )


class ListingPhoto(Base):
    """A photo of a listing in its three sizes; width and height are those of the largest, in pixels."""

    __tablename__ = "listing_photos"

    photo_id: Mapped[BigId]
    listing_id: Mapped[BigInt] = mapped_column(sa.ForeignKey("listings.listing_id", ondelete="CASCADE"))
    position: Mapped[int] = mapped_column(sa.SmallInteger)
    alt_text: Mapped[str] = mapped_column(sa.String(LONGEST_ALT_TEXT), server_default="")
    width: Mapped[int]
    height: Mapped[int]
    full_key: Mapped[str] = _key()
    card_key: Mapped[str] = _key()
    thumb_key: Mapped[str] = _key()
    is_broken: Mapped[bool] = mapped_column(server_default=sa.false())
    date_created: Mapped[Created]

    __table_args__ = (
        sa.UniqueConstraint("listing_id", "position"),
        # The upper half is where photos wait while their order changes, so that no two ever share a place.
        sa.CheckConstraint(f"position BETWEEN 0 AND {2 * MOST_PHOTOS - 1}", "position"),
        sa.CheckConstraint("width > 0 AND height > 0", "size"),
    )


class ListingVideo(Base):
    """The video of a listing and the frame that stands for it; width and height are pixels as it is shown."""

    __tablename__ = "listing_videos"

    listing_id: Mapped[BigInt] = mapped_column(
        sa.ForeignKey("listings.listing_id", ondelete="CASCADE"), primary_key=True
    )
    seconds: Mapped[Decimal] = mapped_column(sa.Numeric(7, 2))
    width: Mapped[int]
    height: Mapped[int]
    video_key: Mapped[str] = _key()
    poster_key: Mapped[str] = _key()
    is_broken: Mapped[bool] = mapped_column(server_default=sa.false())
    date_created: Mapped[Created]

    __table_args__ = (
        sa.CheckConstraint("width > 0 AND height > 0", "size"),
        sa.CheckConstraint("seconds > 0", "seconds"),
    )


class UserPicture(Base):
    """The picture of an account, as long as it is one of ours. ``url`` is of former releases, which ran on it."""

    __tablename__ = "user_pictures"

    user_id: Mapped[BigInt] = mapped_column(sa.ForeignKey("users.user_id", ondelete="CASCADE"), primary_key=True)
    card_key: Mapped[str] = _key()
    thumb_key: Mapped[str] = _key()
    url: Mapped[str | None] = mapped_column(sa.String(512))
    date_created: Mapped[Created]
