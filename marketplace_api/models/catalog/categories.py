"""The category tree; a category is known by its slug."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from marketplace_api.database.base import Base


class Category(Base):
    """A node of the tree; listings may sit on any node."""

    __tablename__ = "categories"

    slug: Mapped[str] = mapped_column(sa.String(100), primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(100))
    parent_slug: Mapped[str | None] = mapped_column(sa.ForeignKey("categories.slug"), index=True)
    position: Mapped[int] = mapped_column(server_default=sa.text("0"))

    __table_args__ = (
        sa.CheckConstraint("slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$'", "slug"),
        sa.CheckConstraint("parent_slug <> slug", "not_its_own_parent"),
    )
