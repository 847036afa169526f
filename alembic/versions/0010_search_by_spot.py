"""Boxes on the map and their facets from one index, and bitmaps for more lexemes.

Revision: 0010, after: 0009
"""

import sqlalchemy as sa

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

# The place to two decimals as one number: strips of a tenth of a degree from south to north, within a strip from west
# to east. A box is a few ranges of it.
LATITUDE = "(round(latitude, 2) * 100)::integer + 9000"
LONGITUDE = "(round(longitude, 2) * 100)::integer + 18000"
SPOT = f"(({LATITUDE}) / 10 * 36001 + {LONGITUDE}) * 10 + ({LATITUDE}) % 10"

# Each amenity by a hash, however it is spelled: of a fixed width, and of a number that any index row can hold.
AMENITY_CODES = """
CREATE FUNCTION marketplace_amenity_codes(amenities text[]) RETURNS bigint[] LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ARRAY(
    SELECT DISTINCT hashtextextended(lower(btrim(amenity)), 0) FROM unnest(amenities) AS amenity
    WHERE btrim(amenity) <> '' ORDER BY 1 LIMIT 100
)
"""

FACETS = ["listing_id", "date_created", "price", "category", "city", "is_verified_listing", "amenity_codes"]
IN_REGION = ["listing_id", "date_created", "price", "category"]
IN_REGION_BEFORE = ["listing_id", "latitude", "longitude", "date_created", "price", "category"]

FREQUENT, FREQUENT_BEFORE = 2_000, 5_000


def recount(frequent: int, order: str) -> str:
    """As in 0002; written in ``order``, the bitmaps of a lexeme lie together and are read from few pages."""
    return f"""
CREATE OR REPLACE FUNCTION recount_search_terms() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    LOCK TABLE listings IN SHARE MODE;
    TRUNCATE search_terms, search_term_deltas, search_bitmaps, search_changes;
    INSERT INTO search_terms (kind, term, count, has_bitmaps)
    SELECT 0, word, ndoc, ndoc >= {frequent} FROM ts_stat('SELECT document FROM listings WHERE is_searchable')
    WHERE left(word, 3) NOT IN ('#0=', '#1=', '#2=')
    UNION ALL
    SELECT counted.kind, counted.term, count(*), false
    FROM listings, marketplace_terms(title, city, state, '') AS counted WHERE is_searchable GROUP BY 1, 2;
    INSERT INTO search_bitmaps (term, block, bits)
    SELECT lexeme, listing_id >> 12,
        bit_or(set_bit(repeat('0', 4096)::bit(4096), (listing_id & 4095)::integer, 1))
    FROM listings CROSS JOIN LATERAL unnest(tsvector_to_array(document)) AS lexeme
    WHERE is_searchable AND lexeme IN (SELECT term FROM search_terms WHERE kind = 0 AND has_bitmaps)
    GROUP BY 1, 2 {order};
END $$
"""  # noqa: S608  made of constants only


def upgrade() -> None:
    op.execute(AMENITY_CODES)
    # One statement, so that the table is written anew only once.
    op.execute(
        f"ALTER TABLE listings ADD COLUMN spot integer GENERATED ALWAYS AS ({SPOT}) STORED, "
        "ADD COLUMN amenity_codes bigint[] GENERATED ALWAYS AS (marketplace_amenity_codes(amenities)) STORED"
    )
    op.create_index(
        "ix_listings_search_spot",
        "listings",
        ["spot"],
        postgresql_include=FACETS,
        postgresql_where=sa.text("is_searchable"),
    )
    index_positions(IN_REGION)
    op.execute(sa.text(recount(FREQUENT, "ORDER BY 1, 2").replace(":", r"\:")))


def index_positions(included: list[str]) -> None:
    op.drop_index("ix_listings_search_position", table_name="listings")
    op.create_index(
        "ix_listings_search_position",
        "listings",
        ["position"],
        postgresql_using="gist",
        postgresql_where=sa.text("is_searchable"),
        postgresql_include=included,
    )


def downgrade() -> None:
    op.execute(sa.text(recount(FREQUENT_BEFORE, "").replace(":", r"\:")))
    index_positions(IN_REGION_BEFORE)
    op.drop_index("ix_listings_search_spot", table_name="listings")
    op.drop_column("listings", "amenity_codes")
    op.drop_column("listings", "spot")
    op.execute("DROP FUNCTION marketplace_amenity_codes(text[])")
