"""The videos of listings.

Revision: 0011, after: 0010
"""

import sqlalchemy as sa

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "listing_videos",
        sa.Column("listing_id", sa.BigInteger(), nullable=False),
        sa.Column("seconds", sa.Numeric(7, 2), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("video_key", sa.String(100, collation="C"), nullable=False),
        sa.Column("poster_key", sa.String(100, collation="C"), nullable=False),
        sa.Column("is_broken", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("date_created", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("width > 0 AND height > 0", name=op.f("ck_listing_videos_size")),
        sa.CheckConstraint("seconds > 0", name=op.f("ck_listing_videos_seconds")),
        sa.ForeignKeyConstraint(
            ["listing_id"], ["listings.listing_id"], name=op.f("fk_listing_videos_listing_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["video_key"], ["files.key"], name=op.f("fk_listing_videos_video_key")),
        sa.ForeignKeyConstraint(["poster_key"], ["files.key"], name=op.f("fk_listing_videos_poster_key")),
        sa.PrimaryKeyConstraint("listing_id", name=op.f("pk_listing_videos")),
        sa.UniqueConstraint("video_key", name=op.f("uq_listing_videos_video_key")),
        sa.UniqueConstraint("poster_key", name=op.f("uq_listing_videos_poster_key")),
    )
    op.add_column("listings", sa.Column("has_video", sa.Boolean(), server_default=sa.text("false"), nullable=False))


def downgrade() -> None:
    # The files themselves stay in the storage: their keys are in the database's backup.
    op.drop_column("listings", "has_video")
    op.drop_table("listing_videos")
