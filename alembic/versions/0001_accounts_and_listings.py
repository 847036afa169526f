"""Accounts, categories, listings, events and stored answers.

Revision: 0001, the first
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op
from marketplace_api.models.catalog.listings import Cube

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


# A starting tree; an operator may change it at any time.
CATEGORIES = [
    ("vehicles", "Vehicles", None),
    ("cars", "Cars", "vehicles"),
    ("motorcycles", "Motorcycles", "vehicles"),
    ("vans", "Vans", "vehicles"),
    ("bicycles", "Bicycles", "vehicles"),
    ("boats", "Boats", "vehicles"),
    ("housing", "Housing", None),
    ("apartments", "Apartments", "housing"),
    ("houses", "Houses", "housing"),
    ("rooms", "Rooms", "housing"),
    ("electronics", "Electronics", None),
    ("computers", "Computers", "electronics"),
    ("phones", "Phones", "electronics"),
    ("audio", "Audio", "electronics"),
    ("cameras", "Cameras", "electronics"),
    ("home-garden", "Home & garden", None),
    ("furniture", "Furniture", "home-garden"),
    ("kitchen", "Kitchen", "home-garden"),
    ("garden", "Garden", "home-garden"),
    ("tools", "Tools", "home-garden"),
    ("leisure", "Leisure", None),
    ("sports", "Sports", "leisure"),
    ("music", "Musical instruments", "leisure"),
    ("books", "Books", "leisure"),
    ("toys", "Toys & games", "leisure"),
    ("fashion", "Fashion", None),
    ("services", "Services", None),
    ("other", "Other", None),
]

EXTENSIONS = ("pg_trgm", "unaccent", "cube", "btree_gin", "btree_gist")


def create_text_search() -> None:
    """English stemming that ignores accents, and the immutable helpers that the generated columns need."""
    op.execute("CREATE TEXT SEARCH CONFIGURATION marketplace (COPY = english)")
    op.execute(
        "ALTER TEXT SEARCH CONFIGURATION marketplace "
        "ALTER MAPPING FOR asciiword, asciihword, hword_asciipart, word, hword, hword_part WITH unaccent, english_stem"
    )
    op.execute(
        "CREATE FUNCTION marketplace_words(words text[]) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE "
        "RETURN array_to_string(words, ' ')"
    )
    op.execute("CREATE TEXT SEARCH CONFIGURATION marketplace_plain (COPY = simple)")
    op.execute(
        "ALTER TEXT SEARCH CONFIGURATION marketplace_plain "
        "ALTER MAPPING FOR asciiword, asciihword, hword_asciipart, word, hword, hword_part WITH unaccent, simple"
    )
    # Three bands to a factor of e: narrow enough to skip most of what a price range excludes.
    op.execute(
        "CREATE FUNCTION marketplace_price_band(price numeric) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE "
        "RETURN floor(ln(price::float8 + 1) * 3)::integer"
    )
    op.execute(MARKS)


# Blocks of 4,096, 32,768 and 262,144 ids let a search visit the newest first; cells of 1, 5 and 30 degrees, of the
# rounded coordinates, narrow it to a region.
MARKS = """
CREATE FUNCTION marketplace_marks(
    listing_id bigint, category text, amenities text[], place text, price numeric, is_verified boolean,
    latitude numeric, longitude numeric
) RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN array_to_tsvector(array_remove(
    ARRAY[
        '#all', '#c=' || category, '#p=' || marketplace_price_band(price)::text, CASE WHEN is_verified THEN '#verified' END,
        '#0=' || (listing_id >> 12)::text, '#1=' || (listing_id >> 15)::text, '#2=' || (listing_id >> 18)::text,
        '#g1=' || floor(round(latitude, 2))::text || '/' || floor(round(longitude, 2))::text,
        '#g5=' || floor(round(latitude, 2) / 5)::text || '/' || floor(round(longitude, 2) / 5)::text,
        '#g30=' || floor(round(latitude, 2) / 30)::text || '/' || floor(round(longitude, 2) / 30)::text
    ]
    || ARRAY(SELECT '#a=' || left(lower(btrim(amenity)), 100) FROM unnest(amenities) AS amenity)
    || ARRAY(SELECT '#l=' || word FROM unnest(tsvector_to_array(to_tsvector('marketplace_plain', place))) AS word),
    NULL
))
"""


def make_events_append_only() -> None:
    op.execute(
        """
        CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'the table % is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
        END $$
        """
    )
    op.execute(
        "CREATE TRIGGER events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON events "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )


def upgrade() -> None:
    for extension in EXTENSIONS:
        op.execute(f"CREATE EXTENSION IF NOT EXISTS {extension}")
    create_text_search()
    create_tables()
    make_events_append_only()
    categories = sa.table(
        "categories", sa.column("slug"), sa.column("name"), sa.column("parent_slug"), sa.column("position")
    )
    op.bulk_insert(
        categories,
        [
            {"slug": slug, "name": name, "parent_slug": parent, "position": position}
            for position, (slug, name, parent) in enumerate(CATEGORIES)
        ],
    )


def create_tables() -> None:
    op.create_table(
        "categories",
        sa.Column("slug", sa.String(length=100), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("parent_slug", sa.String(length=100), nullable=True),
        sa.Column("position", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint("slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$'", name=op.f("ck_categories_slug")),
        sa.CheckConstraint("parent_slug <> slug", name=op.f("ck_categories_not_its_own_parent")),
        sa.ForeignKeyConstraint(["parent_slug"], ["categories.slug"], name=op.f("fk_categories_parent_slug")),
        sa.PrimaryKeyConstraint("slug", name=op.f("pk_categories")),
    )
    op.create_index(op.f("ix_categories_parent_slug"), "categories", ["parent_slug"], unique=False)
    op.create_table(
        "events",
        sa.Column("event_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("type", sa.String(length=60), nullable=False),
        sa.Column("actor_id", sa.BigInteger(), nullable=True),
        sa.Column("actor_name", sa.String(length=100), nullable=True),
        sa.Column("on_behalf_of_id", sa.BigInteger(), nullable=True),
        sa.Column("subject_type", sa.String(length=30), nullable=False),
        sa.Column("subject_id", sa.BigInteger(), nullable=True),
        sa.Column("previous", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("new", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("request_id", sa.String(length=100), nullable=True),
        sa.Column("date_created", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("type ~ '^[a-z_]+\\.[a-z_]+$'", name=op.f("ck_events_type")),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_events")),
    )
    op.create_index("ix_events_actor_id", "events", ["actor_id", "event_id"], unique=False)
    op.create_index("ix_events_subject", "events", ["subject_type", "subject_id", "event_id"], unique=False)
    op.create_index("ix_events_type", "events", ["type", "event_id"], unique=False)
    op.create_table(
        "login_failures",
        sa.Column("subject", postgresql.BYTEA(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last_failed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("locked_until", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_login_failures")),
    )
    op.create_table(
        "stored_answers",
        sa.Column("key_hash", postgresql.BYTEA(), nullable=False),
        sa.Column("request_hash", postgresql.BYTEA(), nullable=False),
        sa.Column("answer", postgresql.BYTEA(), nullable=False),
        sa.Column("date_created", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("octet_length(key_hash) = 32", name=op.f("ck_stored_answers_key_hash")),
        sa.PrimaryKeyConstraint("key_hash", name=op.f("pk_stored_answers")),
    )
    op.create_index(op.f("ix_stored_answers_date_created"), "stored_answers", ["date_created"], unique=False)
    op.create_table(
        "users",
        sa.Column("user_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("username", sa.String(length=50), nullable=False),
        sa.Column("email", sa.String(length=255), nullable=True),
        sa.Column("pending_email", sa.String(length=255), nullable=True),
        sa.Column("email_confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("password_hash", sa.String(length=255), nullable=True),
        sa.Column("profile_picture_url", sa.String(length=512), nullable=True),
        sa.Column("bio", sa.Text(), nullable=True),
        sa.Column(
            "contact_information",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("roles", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{customer}'"), nullable=False),
        sa.Column("state", sa.String(length=20), server_default="active", nullable=False),
        sa.Column("state_reason", sa.Text(), nullable=True),
        sa.Column("suspended_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("is_verified", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("rating_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("rating_sum", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("date_joined", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("date_updated", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_login", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deactivated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint(
            "(state = 'deactivated') <= (deactivated_at IS NOT NULL)", name=op.f("ck_users_deactivated_at")
        ),
        sa.CheckConstraint("jsonb_typeof(contact_information) = 'object'", name=op.f("ck_users_contact_information")),
        sa.CheckConstraint(
            "roles <@ ARRAY['customer','driver','moderator','staff','admin'] AND 'customer' = ANY(roles)",
            name=op.f("ck_users_roles"),
        ),
        sa.CheckConstraint("state = 'erased' OR email IS NOT NULL", name=op.f("ck_users_email_unless_erased")),
        sa.CheckConstraint(
            "state IN ('active', 'suspended', 'banned', 'deactivated', 'erased')", name=op.f("ck_users_state")
        ),
        sa.CheckConstraint(
            "rating_count >= 0 AND rating_sum BETWEEN rating_count AND 5 * rating_count", name=op.f("ck_users_rating")
        ),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_users")),
    )
    op.create_index(
        "ix_users_deactivated_at",
        "users",
        ["deactivated_at"],
        unique=False,
        postgresql_where=sa.text("state = 'deactivated'"),
    )
    op.create_index("uq_users_email", "users", [sa.literal_column("lower(email)")], unique=True)
    op.create_index("uq_users_username", "users", [sa.literal_column("lower(username)")], unique=True)
    op.create_table(
        "listings",
        sa.Column("listing_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("title", sa.String(length=255), nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("category", sa.String(length=100), nullable=False),
        sa.Column("price", sa.Numeric(precision=12, scale=2), nullable=False),
        sa.Column("currency", sa.CHAR(length=3), server_default="USD", nullable=False),
        sa.Column("address", sa.String(length=255), nullable=True),
        sa.Column("city", sa.String(length=100), nullable=True),
        sa.Column("state", sa.String(length=100), nullable=True),
        sa.Column("zip", sa.String(length=20), nullable=True),
        sa.Column("country", sa.String(length=100), nullable=True),
        sa.Column("latitude", sa.Numeric(precision=9, scale=6), nullable=True),
        sa.Column("longitude", sa.Numeric(precision=9, scale=6), nullable=True),
        sa.Column("photos_urls", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("amenities", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("status", sa.String(length=50), server_default="active", nullable=False),
        sa.Column("suspended_from", sa.String(length=50), nullable=True),
        sa.Column("status_reason", sa.Text(), nullable=True),
        sa.Column("is_verified_listing", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("review_requested_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("owner_hidden", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("rating_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("rating_sum", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("import_key", postgresql.BYTEA(), nullable=True),
        sa.Column("date_created", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("date_updated", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column(
            "is_public",
            sa.Boolean(),
            sa.Computed("status IN ('active', 'sold') AND deleted_at IS NULL AND NOT owner_hidden", persisted=True),
            nullable=False,
        ),
        sa.Column(
            "is_searchable",
            sa.Boolean(),
            sa.Computed("status = 'active' AND deleted_at IS NULL AND NOT owner_hidden", persisted=True),
            nullable=False,
        ),
        sa.Column(
            "rating",
            sa.Integer(),
            sa.Computed(
                "CASE WHEN rating_count = 0 THEN 0 ELSE (rating_sum::bigint * 1000 / rating_count)::integer END",
                persisted=True,
            ),
            nullable=False,
        ),
        sa.Column(
            "position",
            Cube(),
            sa.Computed(
                "CASE WHEN latitude IS NULL OR longitude IS NULL THEN NULL ELSE cube(ARRAY[6371.0088 * cos(radians(round(latitude, 2)::float8)) * cos(radians(round(longitude, 2)::float8)), 6371.0088 * cos(radians(round(latitude, 2)::float8)) * sin(radians(round(longitude, 2)::float8)), 6371.0088 * sin(radians(round(latitude, 2)::float8))]) END",
                persisted=True,
            ),
            nullable=True,
        ),
        sa.Column(
            "document",
            postgresql.TSVECTOR(),
            sa.Computed(
                "setweight(to_tsvector('marketplace', title), 'A') || setweight(to_tsvector('marketplace', replace(category, '-', ' ')), 'B') || setweight(to_tsvector('marketplace', marketplace_words(amenities)), 'C') || setweight(to_tsvector('marketplace', description), 'D') || marketplace_marks(listing_id, category, amenities, marketplace_words(ARRAY[city, state, zip, country]), price, is_verified_listing, latitude, longitude)",
                persisted=True,
            ),
            nullable=False,
        ),
        sa.CheckConstraint(
            "(status = 'suspended') = (suspended_from IS NOT NULL)", name=op.f("ck_listings_suspended_from")
        ),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("ck_listings_currency")),
        sa.CheckConstraint(
            "status IN ('draft', 'active', 'inactive', 'sold', 'pending_verification', 'rejected', 'suspended')",
            name=op.f("ck_listings_status"),
        ),
        sa.CheckConstraint("(latitude IS NULL) = (longitude IS NULL)", name=op.f("ck_listings_coordinates_both")),
        sa.CheckConstraint(
            "latitude BETWEEN -90 AND 90 AND longitude BETWEEN -180 AND 180", name=op.f("ck_listings_coordinates")
        ),
        sa.CheckConstraint("length(title) > 0", name=op.f("ck_listings_title")),
        sa.CheckConstraint("price >= 0", name=op.f("ck_listings_price")),
        sa.CheckConstraint(
            "rating_count >= 0 AND rating_sum BETWEEN rating_count AND 5 * rating_count",
            name=op.f("ck_listings_rating"),
        ),
        sa.ForeignKeyConstraint(["category"], ["categories.slug"], name=op.f("fk_listings_category")),
        sa.ForeignKeyConstraint(["user_id"], ["users.user_id"], name=op.f("fk_listings_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("listing_id", name=op.f("pk_listings")),
        sa.UniqueConstraint("user_id", "import_key", name=op.f("uq_listings_user_id_import_key")),
    )
    op.create_index("ix_listings_user_id", "listings", ["user_id", "date_created", "listing_id"], unique=False)
    op.create_table(
        "one_time_tokens",
        sa.Column("token_hash", postgresql.BYTEA(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("purpose", sa.String(length=20), nullable=False),
        sa.Column("email", sa.String(length=255), nullable=False),
        sa.Column("date_created", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("purpose IN ('reset_password', 'confirm_email')", name=op.f("ck_one_time_tokens_purpose")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.user_id"], name=op.f("fk_one_time_tokens_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_one_time_tokens")),
    )
    op.create_index(op.f("ix_one_time_tokens_user_id"), "one_time_tokens", ["user_id"], unique=False)
    op.create_table(
        "sessions",
        sa.Column("session_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("refresh_hash", postgresql.BYTEA(), nullable=False),
        sa.Column(
            "refresh_nonce", postgresql.BYTEA(), server_default=sa.text("uuid_send(gen_random_uuid())"), nullable=False
        ),
        sa.Column("refresh_generation", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("rotated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("device", sa.String(length=255), server_default="", nullable=False),
        sa.Column("address", sa.String(length=64), server_default="", nullable=False),
        sa.Column("date_created", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_used", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("end_reason", sa.String(length=30), nullable=True),
        sa.CheckConstraint("(ended_at IS NULL) = (end_reason IS NULL)", name=op.f("ck_sessions_end_reason")),
        sa.ForeignKeyConstraint(["user_id"], ["users.user_id"], name=op.f("fk_sessions_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("session_id", name=op.f("pk_sessions")),
    )
    op.create_index(
        "ix_sessions_user_id", "sessions", ["user_id"], unique=False, postgresql_where=sa.text("ended_at IS NULL")
    )


def downgrade() -> None:
    op.drop_index("ix_sessions_user_id", table_name="sessions", postgresql_where=sa.text("ended_at IS NULL"))
    op.drop_table("sessions")
    op.drop_index(op.f("ix_one_time_tokens_user_id"), table_name="one_time_tokens")
    op.drop_table("one_time_tokens")
    op.drop_index("ix_listings_user_id", table_name="listings")
    op.drop_table("listings")
    op.drop_index("uq_users_username", table_name="users")
    op.drop_index("uq_users_email", table_name="users")
    op.drop_index("ix_users_deactivated_at", table_name="users", postgresql_where=sa.text("state = 'deactivated'"))
    op.drop_table("users")
    op.drop_index(op.f("ix_stored_answers_date_created"), table_name="stored_answers")
    op.drop_table("stored_answers")
    op.drop_table("login_failures")
    op.drop_index("ix_events_type", table_name="events")
    op.drop_index("ix_events_subject", table_name="events")
    op.drop_index("ix_events_actor_id", table_name="events")
    op.drop_table("events")
    op.drop_index(op.f("ix_categories_parent_slug"), table_name="categories")
    op.drop_table("categories")
    op.execute("DROP FUNCTION refuse_change()")
    op.execute("DROP FUNCTION marketplace_marks(bigint, text, text[], text, numeric, boolean, numeric, numeric)")
    op.execute("DROP FUNCTION marketplace_price_band(numeric)")
    op.execute("DROP FUNCTION marketplace_words(text[])")
    op.execute("DROP TEXT SEARCH CONFIGURATION marketplace_plain")
    op.execute("DROP TEXT SEARCH CONFIGURATION marketplace")
