"""Batches of moderation.

Revision: 0012, after: 0011
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

NOW = sa.text("now()")
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "moderation_batches",
        sa.Column("batch_id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("action", sa.String(30), nullable=False),
        sa.Column("target", sa.String(20), nullable=False),
        sa.Column("conditions", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("state", sa.String(10), server_default="running", nullable=False),
        sa.Column("matched", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("actor_id", sa.BigInteger()),
        sa.Column("actor_name", sa.String(100)),
        sa.Column("request_id", sa.String(100)),
        sa.Column("date_created", MOMENT, server_default=NOW, nullable=False),
        sa.Column("date_updated", MOMENT, server_default=NOW, nullable=False),
        sa.Column("date_finished", MOMENT),
        sa.Column("date_undone", MOMENT),
        sa.CheckConstraint(
            "state IN ('running', 'done', 'undoing', 'undone')", name=op.f("ck_moderation_batches_state")
        ),
        sa.CheckConstraint("length(reason) BETWEEN 1 AND 1000", name=op.f("ck_moderation_batches_reason")),
        sa.CheckConstraint("matched >= 0", name=op.f("ck_moderation_batches_matched")),
        sa.PrimaryKeyConstraint("batch_id", name=op.f("pk_moderation_batches")),
    )
    op.create_table(
        "moderation_batch_rows",
        sa.Column("batch_id", sa.BigInteger(), nullable=False),
        sa.Column("subject_id", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.String(10), server_default="waiting", nullable=False),
        sa.Column("previous", postgresql.JSONB()),
        sa.Column("version", sa.BigInteger()),
        sa.Column("detail", sa.Text()),
        sa.CheckConstraint(
            "outcome IN ('waiting', 'changed', 'skipped', 'restored', 'kept')",
            name=op.f("ck_moderation_batch_rows_outcome"),
        ),
        sa.CheckConstraint(
            "outcome NOT IN ('changed', 'restored', 'kept') OR num_nonnulls(previous, version) = 2",
            name=op.f("ck_moderation_batch_rows_previous"),
        ),
        sa.ForeignKeyConstraint(
            ["batch_id"],
            ["moderation_batches.batch_id"],
            ondelete="CASCADE",
            name=op.f("fk_moderation_batch_rows_batch_id"),
        ),
        sa.PrimaryKeyConstraint("batch_id", "subject_id", name=op.f("pk_moderation_batch_rows")),
    )
    op.create_index(
        "ix_moderation_batch_rows_open",
        "moderation_batch_rows",
        ["batch_id", "outcome", "subject_id"],
        postgresql_where=sa.text("outcome IN ('waiting', 'changed')"),
    )


def downgrade() -> None:
    op.drop_table("moderation_batch_rows")
    op.drop_table("moderation_batches")
