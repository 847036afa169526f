"""The pictures of people."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from marketplace_api.database.base import Base, BigInt, Created
from marketplace_api.models.media.files import file_key


class UserPicture(Base):
    """The picture of an account, as long as it is one of ours. ``url`` is of former releases, which ran on it."""

    __tablename__ = "user_pictures"

    user_id: Mapped[BigInt] = mapped_column(sa.ForeignKey("users.user_id", ondelete="CASCADE"), primary_key=True)
    card_key: Mapped[str] = file_key()
    thumb_key: Mapped[str] = file_key()
    url: Mapped[str | None] = mapped_column(sa.String(512))
    date_created: Mapped[Created]
