"""Verifications: what an account sends to show who is behind it, and what moderators decide about it.

The document itself is a file, sealed; the row holds its name, its envelope and, for as long as there is one, its key in
the storage.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Mapped, mapped_column

from marketplace_api.database.base import Base, BigId, BigInt, Created, Timestamp, Version
from marketplace_api.models.media.files import KEY

DOCUMENT_TYPES = ("passport", "id_card", "driver_licence", "proof_of_address")
VERIFICATION_STATES = ("pending", "approved", "rejected", "expired")
LONGEST_DOCUMENT_NAME = 150


def _one_of(column: str, values: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


class Verification(Base):
    """One submission of one document. The newest of an account tells where its verification stands.

    ``envelope`` is the document's own key, wrapped under the key that ``key_id`` names.
    """

    __tablename__ = "verifications"

    verification_id: Mapped[BigId]
    user_id: Mapped[BigInt] = mapped_column(sa.ForeignKey("users.user_id", ondelete="CASCADE"))
    status: Mapped[str] = mapped_column(sa.String(10), server_default="pending")
    document_type: Mapped[str] = mapped_column(sa.String(20))
    document_name: Mapped[str] = mapped_column(sa.String(LONGEST_DOCUMENT_NAME))
    media_type: Mapped[str] = mapped_column(sa.String(50))
    file_key: Mapped[str | None] = mapped_column(KEY, sa.ForeignKey("files.key"), unique=True)
    key_id: Mapped[str | None] = mapped_column(sa.String(64, collation="C"))
    envelope: Mapped[bytes | None] = mapped_column(postgresql.BYTEA)
    date_submitted: Mapped[Created]
    date_decided: Mapped[Timestamp | None]
    decided_by: Mapped[BigInt | None] = mapped_column(sa.ForeignKey("users.user_id"))
    reason: Mapped[str | None] = mapped_column(sa.Text)
    expires_at: Mapped[Timestamp | None]
    documents_purged_at: Mapped[Timestamp | None]
    version: Mapped[Version]

    __table_args__ = (
        sa.CheckConstraint(_one_of("status", VERIFICATION_STATES), "status"),
        sa.CheckConstraint(_one_of("document_type", DOCUMENT_TYPES), "document_type"),
        sa.CheckConstraint("length(document_name) > 0", "document_name"),
        sa.CheckConstraint("(status = 'pending') = (date_decided IS NULL)", "date_decided"),
        sa.CheckConstraint("decided_by <> user_id", "not_by_oneself"),
        sa.CheckConstraint("(status = 'rejected') = (reason IS NOT NULL)", "reason"),
        sa.CheckConstraint("expires_at IS NULL OR status IN ('approved', 'expired')", "expires_at"),
        sa.CheckConstraint("status <> 'expired' OR expires_at IS NOT NULL", "expired"),
        # The file, its envelope and the key that opens it go together, and never before a decision.
        sa.CheckConstraint(
            "num_nonnulls(file_key, key_id, envelope) = CASE WHEN documents_purged_at IS NULL THEN 3 ELSE 0 END",
            "document",
        ),
        sa.CheckConstraint("documents_purged_at IS NULL OR status <> 'pending'", "documents_purged_at"),
        # One that waits or holds at a time.
        sa.Index(
            "uq_verifications_user_id",
            "user_id",
            unique=True,
            postgresql_where=sa.text("status IN ('pending', 'approved')"),
        ),
        sa.Index("ix_verifications_user_id", "user_id", "verification_id"),
        sa.Index("ix_verifications_status", "status", "verification_id"),
        sa.Index("ix_verifications_expires_at", "expires_at", postgresql_where=sa.text("status = 'approved'")),
        sa.Index("ix_verifications_date_decided", "date_decided", postgresql_where=sa.text("file_key IS NOT NULL")),
    )
