"""Keys with which programs call, instead of people."""

from __future__ import annotations

from datetime import date

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Mapped, mapped_column

from marketplace_api.database.base import Base, BigId, BigInt, Created, TextArray, Timestamp

SCOPES = ("events:read",)
"""What a key may be for."""


class ApiKey(Base):
    """One key: of the key itself only the hash. ``created_by`` is no foreign key: operators without an account make keys
    as well, and a key outlives the account that made it. When it was used is known by the day (UTC)."""

    __tablename__ = "api_keys"

    api_key_id: Mapped[BigId]
    key_hash: Mapped[bytes] = mapped_column(postgresql.BYTEA, unique=True)
    name: Mapped[str] = mapped_column(sa.String(100))
    scopes: Mapped[TextArray]
    created_by: Mapped[BigInt | None]
    date_created: Mapped[Created]
    last_used: Mapped[date | None] = mapped_column(sa.Date)
    expires_at: Mapped[Timestamp | None]
    revoked_at: Mapped[Timestamp | None]
    __table_args__ = (
        sa.CheckConstraint("octet_length(key_hash) = 32", "key_hash"),
        sa.CheckConstraint(f"scopes <> '{{}}' AND scopes <@ '{{{','.join(SCOPES)}}}'", "scopes"),
    )
