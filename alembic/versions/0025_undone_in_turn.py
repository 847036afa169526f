"""Batches of moderation that follow each other are undone one after the other, the last first.

Whether a thing is again what a batch made of it is looked up among what later ones restored. And the one function that runs
as its owner without naming where it looks for tables says so now, as all others do.

Revision: 0025, after: 0024
"""

import sqlalchemy as sa

from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("moderation_batch_rows", sa.Column("restored_version", sa.BigInteger(), nullable=True))
    op.create_index(
        "ix_moderation_batch_rows_restored",
        "moderation_batch_rows",
        ["subject_id", "version"],
        postgresql_where=sa.text("outcome = 'restored'"),
    )
    op.execute("ALTER FUNCTION enter_listings_into_search() SET search_path = public, pg_temp")


def downgrade() -> None:
    op.execute('ALTER FUNCTION enter_listings_into_search() SET search_path = "$user", public')
    op.drop_index("ix_moderation_batch_rows_restored", "moderation_batch_rows")
    op.drop_column("moderation_batch_rows", "restored_version")
