"""Verifications of accounts, and the price at which a listing was verified.

Revision: 0007, after: 0006
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

CHECKS = {
    "status": "status IN ('pending', 'approved', 'rejected', 'expired')",
    "document_type": "document_type IN ('passport', 'id_card', 'driver_licence', 'proof_of_address')",
    "document_name": "length(document_name) > 0",
    "date_decided": "(status = 'pending') = (date_decided IS NULL)",
    "not_by_oneself": "decided_by <> user_id",
    "reason": "(status = 'rejected') = (reason IS NOT NULL)",
    "expires_at": "expires_at IS NULL OR status IN ('approved', 'expired')",
    "expired": "status <> 'expired' OR expires_at IS NOT NULL",
    "document": ("num_nonnulls(file_key, key_id, envelope) = CASE WHEN documents_purged_at IS NULL THEN 3 ELSE 0 END"),
    "documents_purged_at": "documents_purged_at IS NULL OR status <> 'pending'",
}
PARTIAL = {"expires_at": "status = 'approved'", "date_decided": "file_key IS NOT NULL"}


def upgrade() -> None:
    op.add_column("listings", sa.Column("verified_price", sa.Numeric(12, 2), nullable=True))
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "verifications",
        sa.Column("verification_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(10), server_default="pending", nullable=False),
        sa.Column("document_type", sa.String(20), nullable=False),
        sa.Column("document_name", sa.String(150), nullable=False),
        sa.Column("media_type", sa.String(50), nullable=False),
        sa.Column("file_key", sa.String(100, collation="C"), nullable=True),
        sa.Column("key_id", sa.String(64, collation="C"), nullable=True),
        sa.Column("envelope", postgresql.BYTEA(), nullable=True),
        sa.Column("date_submitted", moment, server_default=sa.text("now()"), nullable=False),
        sa.Column("date_decided", moment, nullable=True),
        sa.Column("decided_by", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("expires_at", moment, nullable=True),
        sa.Column("documents_purged_at", moment, nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        *(sa.CheckConstraint(text, name=op.f(f"ck_verifications_{name}")) for name, text in CHECKS.items()),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.user_id"], name=op.f("fk_verifications_user_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["decided_by"], ["users.user_id"], name=op.f("fk_verifications_decided_by")),
        sa.ForeignKeyConstraint(["file_key"], ["files.key"], name=op.f("fk_verifications_file_key")),
        sa.PrimaryKeyConstraint("verification_id", name=op.f("pk_verifications")),
        sa.UniqueConstraint("file_key", name=op.f("uq_verifications_file_key")),
    )
    op.create_index(
        "uq_verifications_user_id",
        "verifications",
        ["user_id"],
        unique=True,
        postgresql_where=sa.text("status IN ('pending', 'approved')"),
    )
    op.create_index("ix_verifications_user_id", "verifications", ["user_id", "verification_id"])
    op.create_index("ix_verifications_status", "verifications", ["status", "verification_id"])
    for column, condition in PARTIAL.items():
        op.create_index(f"ix_verifications_{column}", "verifications", [column], postgresql_where=sa.text(condition))


def downgrade() -> None:
    # Nobody is verified without a verification, and the sweep deletes the documents.
    op.execute("UPDATE files SET state = 'doomed' WHERE key IN (SELECT file_key FROM verifications)")
    op.execute(
        "UPDATE users SET is_verified = false "
        "WHERE user_id IN (SELECT user_id FROM verifications WHERE status = 'approved')"
    )
    op.drop_table("verifications")
    op.drop_column("listings", "verified_price")
