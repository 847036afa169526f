"""Files and the photos of listings.

Revision: 0004, after: 0003
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

NOW = sa.text("now()")


def upgrade() -> None:
    create_files()
    create_photos()
    op.add_column("listings", sa.Column("photo_count", sa.SmallInteger(), server_default=sa.text("0"), nullable=False))
    op.create_check_constraint(op.f("ck_listings_photo_count"), "listings", "photo_count BETWEEN 0 AND 24")


def create_files() -> None:
    op.create_table(
        "files",
        # By bytes, so that an index finds keys by how they begin.
        sa.Column("key", sa.String(100, collation="C"), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("owner_id", sa.BigInteger(), nullable=False),
        sa.Column("content_type", sa.String(100), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", postgresql.BYTEA(), nullable=False),
        sa.Column("state", sa.String(10), server_default="pending", nullable=False),
        sa.Column("date_created", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.CheckConstraint(r"key ~ '^[a-z]+-[0-9a-f]{32}(-[a-z]+)?\.[a-z0-9]+$'", name=op.f("ck_files_key")),
        sa.CheckConstraint("state IN ('pending', 'stored', 'missing', 'doomed')", name=op.f("ck_files_state")),
        sa.CheckConstraint("size > 0", name=op.f("ck_files_size")),
        sa.CheckConstraint("octet_length(sha256) = 32", name=op.f("ck_files_sha256")),
        sa.ForeignKeyConstraint(["owner_id"], ["users.user_id"], name=op.f("fk_files_owner_id")),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_files")),
    )
    op.create_index("ix_files_owner_id", "files", ["owner_id"])
    op.create_index("ix_files_state", "files", ["state", "date_created"], postgresql_where=sa.text("state <> 'stored'"))


def create_photos() -> None:
    op.create_table(
        "listing_photos",
        sa.Column("photo_id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("listing_id", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.Column("alt_text", sa.String(300), server_default="", nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        *keys("full_key", "card_key", "thumb_key"),
        sa.Column("is_broken", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("date_created", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.CheckConstraint("position BETWEEN 0 AND 47", name=op.f("ck_listing_photos_position")),
        sa.CheckConstraint("width > 0 AND height > 0", name=op.f("ck_listing_photos_size")),
        sa.ForeignKeyConstraint(
            ["listing_id"], ["listings.listing_id"], name=op.f("fk_listing_photos_listing_id"), ondelete="CASCADE"
        ),
        *references("listing_photos", "full_key", "card_key", "thumb_key"),
        sa.PrimaryKeyConstraint("photo_id", name=op.f("pk_listing_photos")),
        sa.UniqueConstraint("listing_id", "position", name=op.f("uq_listing_photos_listing_id_position")),
    )
    op.create_table(
        "user_pictures",
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        *keys("card_key", "thumb_key"),
        sa.Column("url", sa.String(512), nullable=False),
        sa.Column("date_created", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.user_id"], name=op.f("fk_user_pictures_user_id"), ondelete="CASCADE"
        ),
        *references("user_pictures", "card_key", "thumb_key"),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_user_pictures")),
    )


def keys(*names: str) -> list[sa.Column]:
    return [sa.Column(name, sa.String(100, collation="C"), nullable=False) for name in names]


def references(table: str, *names: str) -> list[sa.Constraint]:
    return [
        constraint
        for name in names
        for constraint in (
            sa.ForeignKeyConstraint([name], ["files.key"], name=op.f(f"fk_{table}_{name}")),
            sa.UniqueConstraint(name, name=op.f(f"uq_{table}_{name}")),
        )
    ]


def downgrade() -> None:
    # The files themselves stay in the storage: their keys are in the database's backup.
    op.drop_constraint(op.f("ck_listings_photo_count"), "listings")
    op.drop_column("listings", "photo_count")
    op.drop_table("user_pictures")
    op.drop_table("listing_photos")
    op.drop_table("files")
