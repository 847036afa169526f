"""Files that the service keeps. What they are for is told by the tables that name them."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Mapped, mapped_column

from marketplace_api.database.base import Base, BigInt, Created

FILE_STATES = ("pending", "stored", "missing", "doomed")


KEY = sa.String(100, collation="C")
"""By bytes, so that an index finds keys by how they begin."""


def file_key() -> Mapped[str]:
    """A column that names a file of its row's own."""
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
