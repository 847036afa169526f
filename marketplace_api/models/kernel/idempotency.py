"""Answers kept for the retry of a POST that carried an Idempotency-Key."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Mapped, mapped_column

from marketplace_api.database.base import Base, Created


class StoredAnswer(Base):
    """One answered request; ``key_hash`` covers caller and key, the answer itself is encrypted."""

    __tablename__ = "stored_answers"

    key_hash: Mapped[bytes] = mapped_column(postgresql.BYTEA, primary_key=True)
    request_hash: Mapped[bytes] = mapped_column(postgresql.BYTEA)
    answer: Mapped[bytes] = mapped_column(postgresql.BYTEA)
    date_created: Mapped[Created] = mapped_column(index=True)
    __table_args__ = (sa.CheckConstraint("octet_length(key_hash) = 32", "key_hash"),)
