"""Reviews and bookmarks.

Revision: 0006, after: 0005
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

RATED = ("listings", "users")
TARGETS = ("listing_id", "reviewee_id")

# One UPDATE that adds and subtracts, so that reviews of one target may come at the same time and none is lost.
# Neither version nor date_updated moves: nobody edited what was rated.
COUNT_RATING = """
CREATE FUNCTION count_rating() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    gone smallint := CASE WHEN TG_OP <> 'INSERT' AND OLD.deleted_at IS NULL THEN OLD.rating END;
    come smallint := CASE WHEN TG_OP <> 'DELETE' AND NEW.deleted_at IS NULL THEN NEW.rating END;
    listing bigint := CASE WHEN TG_OP = 'DELETE' THEN OLD.listing_id ELSE NEW.listing_id END;
    person bigint := CASE WHEN TG_OP = 'DELETE' THEN OLD.reviewee_id ELSE NEW.reviewee_id END;
    counted integer := (come IS NOT NULL)::integer - (gone IS NOT NULL)::integer;
    stars integer := coalesce(come, 0) - coalesce(gone, 0);
BEGIN
    IF come IS NOT DISTINCT FROM gone THEN
        RETURN NULL;
    END IF;
    IF listing IS NOT NULL THEN
        UPDATE listings SET rating_count = rating_count + counted, rating_sum = rating_sum + stars,
            rating_histogram = shifted_histogram(rating_histogram, gone, come) WHERE listing_id = listing;
    ELSE
        UPDATE users SET rating_count = rating_count + counted, rating_sum = rating_sum + stars,
            rating_histogram = shifted_histogram(rating_histogram, gone, come) WHERE user_id = person;
    END IF;
    RETURN NULL;
END $$
"""

SHIFTED_HISTOGRAM = """
CREATE FUNCTION shifted_histogram(histogram integer[], gone smallint, come smallint)
RETURNS integer[] LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ARRAY(
    SELECT number + (star IS NOT DISTINCT FROM come)::integer - (star IS NOT DISTINCT FROM gone)::integer
    FROM unnest(histogram) WITH ORDINALITY AS bar (number, star) ORDER BY star
)
"""

# What a CHECK cannot see: whose listing it is, and what the row was before.
GUARD_REVIEW = """
CREATE FUNCTION guard_review() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF (NEW.reviewer_id, NEW.listing_id, NEW.reviewee_id) IS DISTINCT FROM (OLD.reviewer_id, OLD.listing_id, OLD.reviewee_id) THEN
            RAISE EXCEPTION 'a review keeps its author and its target'
                USING ERRCODE = 'check_violation', CONSTRAINT = 'ck_reviews_fixed';
        END IF;
    ELSIF EXISTS (SELECT FROM listings WHERE listing_id = NEW.listing_id AND user_id = NEW.reviewer_id) THEN
        RAISE EXCEPTION 'nobody reviews their own listing'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ck_reviews_not_of_own_listing';
    END IF;
    RETURN NEW;
END $$
"""


def upgrade() -> None:
    for table in RATED:
        op.add_column(
            table,
            sa.Column(
                "rating_histogram",
                postgresql.ARRAY(sa.Integer()),
                server_default=sa.text("'{0,0,0,0,0}'"),
                nullable=False,
            ),
        )
        op.create_check_constraint(
            op.f(f"ck_{table}_rating_histogram"),
            table,
            "cardinality(rating_histogram) = 5 AND 0 <= ALL (rating_histogram)",
        )
    create_bookmarks()
    create_reviews()
    for function in (SHIFTED_HISTOGRAM, COUNT_RATING, GUARD_REVIEW):
        op.execute(sa.text(function.replace(":", r"\:")))
    op.execute(
        "CREATE TRIGGER guard_review BEFORE INSERT OR UPDATE ON reviews FOR EACH ROW EXECUTE FUNCTION guard_review()"
    )
    op.execute(
        "CREATE TRIGGER count_rating AFTER INSERT OR DELETE OR UPDATE OF rating, deleted_at ON reviews "
        "FOR EACH ROW EXECUTE FUNCTION count_rating()"
    )


def create_bookmarks() -> None:
    op.create_table(
        "bookmarks",
        sa.Column("bookmark_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("listing_id", sa.BigInteger(), nullable=False),
        sa.Column("date_bookmarked", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["listing_id"], ["listings.listing_id"], name=op.f("fk_bookmarks_listing_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.user_id"], name=op.f("fk_bookmarks_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("bookmark_id", name=op.f("pk_bookmarks")),
        sa.UniqueConstraint("user_id", "listing_id", name=op.f("uq_bookmarks_user_id_listing_id")),
    )
    op.create_index("ix_bookmarks_user_id", "bookmarks", ["user_id", "bookmark_id"])
    op.create_index("ix_bookmarks_listing_id", "bookmarks", ["listing_id", "user_id"])


def create_reviews() -> None:
    op.create_table(
        "reviews",
        sa.Column("review_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("listing_id", sa.BigInteger(), nullable=True),
        sa.Column("reviewee_id", sa.BigInteger(), nullable=True),
        sa.Column("reviewer_id", sa.BigInteger(), nullable=False),
        sa.Column("rating", sa.SmallInteger(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("date_posted", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("date_updated", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("reply", sa.Text(), nullable=True),
        sa.Column("date_replied", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("moderation_reason", sa.Text(), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint("num_nonnulls(listing_id, reviewee_id) = 1", name=op.f("ck_reviews_one_target")),
        sa.CheckConstraint("reviewer_id <> reviewee_id", name=op.f("ck_reviews_not_of_oneself")),
        sa.CheckConstraint("rating BETWEEN 1 AND 5", name=op.f("ck_reviews_rating")),
        sa.CheckConstraint("length(comment) BETWEEN 1 AND 5000", name=op.f("ck_reviews_comment")),
        sa.CheckConstraint("length(reply) BETWEEN 1 AND 5000", name=op.f("ck_reviews_reply")),
        sa.CheckConstraint("reply IS NULL OR date_replied IS NOT NULL", name=op.f("ck_reviews_date_replied")),
        sa.CheckConstraint(
            "deleted_at IS NULL OR moderation_reason IS NOT NULL", name=op.f("ck_reviews_moderation_reason")
        ),
        sa.ForeignKeyConstraint(
            ["listing_id"], ["listings.listing_id"], name=op.f("fk_reviews_listing_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["reviewee_id"], ["users.user_id"], name=op.f("fk_reviews_reviewee_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["reviewer_id"], ["users.user_id"], name=op.f("fk_reviews_reviewer_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("review_id", name=op.f("pk_reviews")),
    )
    for target in TARGETS:
        op.create_index(
            f"uq_reviews_{target}",
            "reviews",
            ["reviewer_id", target],
            unique=True,
            postgresql_where=sa.text(f"deleted_at IS NULL AND {target} IS NOT NULL"),
        )
        op.create_index(
            f"ix_reviews_{target}", "reviews", [target, "review_id"], postgresql_where=sa.text(f"{target} IS NOT NULL")
        )
    op.create_index("ix_reviews_reviewer_id", "reviews", ["reviewer_id", "review_id"])


def downgrade() -> None:
    # The triggers take every rating off again.
    op.execute("DELETE FROM reviews")
    op.drop_table("reviews")
    op.drop_table("bookmarks")
    op.execute("DROP FUNCTION guard_review()")
    op.execute("DROP FUNCTION count_rating()")
    op.execute("DROP FUNCTION shifted_histogram(integer[], smallint, smallint)")
    for table in RATED:
        op.drop_column(table, "rating_histogram")
