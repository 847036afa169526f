"""What search stands on: the indexes of listings, the counts of terms and the triggers that keep them.

Revision: 0002, after: 0001
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ORDERS = {
    "date_created": ["date_created", "listing_id"],
    "date_updated": ["date_updated", "listing_id"],
    "price": ["price", "listing_id"],
    "title": [sa.text("lower(title)"), "listing_id"],
    "rating": ["rating", "listing_id"],
    "category_price": ["category", "price", "listing_id"],
}

# With these beside the position a region is counted without visiting the rows.
IN_REGION = ["listing_id", "latitude", "longitude", "date_created", "price", "category"]

# Everything a searchable listing is counted under. Blocks of ids (#0 to #2) are left out: nobody asks for their counts.
# Words and pairs of the title become suggestions; the bounds keep phone numbers, addresses and essays out of them.
TERMS = """
CREATE FUNCTION marketplace_terms(title text, city text, state text, document tsvector)
RETURNS TABLE (kind smallint, term text) LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT 0::smallint, lexeme
    FROM unnest(tsvector_to_array(document)) AS lexeme WHERE left(lexeme, 3) NOT IN ('#0=', '#1=', '#2=')
    UNION ALL
    SELECT * FROM marketplace_phrases(title)
    UNION ALL
    SELECT 3::smallint, btrim(city) || coalesce(', ' || nullif(btrim(state), ''), '') WHERE btrim(city) <> '';
END
"""

PHRASES = """
CREATE FUNCTION marketplace_phrases(title text)
RETURNS TABLE (kind smallint, term text) LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    WITH words AS MATERIALIZED (
        SELECT word, place
        FROM unnest(regexp_split_to_array(lower(title), '[^[:alnum:]]+')) WITH ORDINALITY AS part (word, place)
        WHERE place <= 12 AND length(word) BETWEEN 2 AND 30 AND word ~ '[[:alpha:]]'
        AND ts_lexize('english_stem', word) <> '{}'
    )
    SELECT DISTINCT 1::smallint, word FROM words
    UNION ALL
    SELECT DISTINCT 2::smallint, first.word || ' ' || second.word
    FROM words AS first JOIN words AS second ON second.place = first.place + 1 WHERE first.place <= 3;
END
"""

COUNT_CHANGES = """
CREATE FUNCTION count_listing_terms() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO search_term_deltas (kind, term, delta)
        SELECT counted.kind, counted.term, count(*)
        FROM new_rows AS after, marketplace_terms(after.title, after.city, after.state, after.document) AS counted
        WHERE after.is_searchable GROUP BY 1, 2;
        INSERT INTO search_changes (listing_id) SELECT listing_id FROM new_rows WHERE is_searchable;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO search_term_deltas (kind, term, delta)
        SELECT counted.kind, counted.term, -count(*)
        FROM old_rows AS before, marketplace_terms(before.title, before.city, before.state, before.document) AS counted
        WHERE before.is_searchable GROUP BY 1, 2;
        INSERT INTO search_changes (listing_id) SELECT listing_id FROM old_rows WHERE is_searchable;
    ELSIF TG_OP = 'UPDATE' THEN
        INSERT INTO search_term_deltas (kind, term, delta)
        WITH changed AS MATERIALIZED (
            SELECT version.sign, version.title, version.city, version.state, version.document
            FROM old_rows AS before FULL JOIN new_rows AS after USING (listing_id)
            CROSS JOIN LATERAL (VALUES
                (1, after.is_searchable, after.title, after.city, after.state, after.document),
                (-1, before.is_searchable, before.title, before.city, before.state, before.document)
            ) AS version (sign, is_searchable, title, city, state, document)
            WHERE version.is_searchable
            AND (before.is_searchable, before.title, before.city, before.state, before.document)
                IS DISTINCT FROM (after.is_searchable, after.title, after.city, after.state, after.document)
        )
        SELECT counted.kind, counted.term, sum(changed.sign)
        FROM changed, marketplace_terms(changed.title, changed.city, changed.state, changed.document) AS counted
        GROUP BY 1, 2 HAVING sum(changed.sign) <> 0;
        INSERT INTO search_changes (listing_id)
        SELECT coalesce(before.listing_id, after.listing_id)
        FROM old_rows AS before FULL JOIN new_rows AS after USING (listing_id)
        WHERE (before.is_searchable OR after.is_searchable)
        AND (before.is_searchable, before.document) IS DISTINCT FROM (after.is_searchable, after.document);
    ELSE
        TRUNCATE search_terms, search_term_deltas, search_bitmaps, search_changes;
    END IF;
    RETURN NULL;
END $$
"""

# Lexemes that so many listings hold get bitmaps: rarer ones are found by the index in little time.
FREQUENT = 5000

EMPTY_BITS = "repeat('0', 4096)::bit(4096)"

# Counts everything anew, far faster than the triggers would: after a bulk load, or to mend the counts.
RECOUNT = f"""
CREATE FUNCTION recount_search_terms() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    LOCK TABLE listings IN SHARE MODE;
    TRUNCATE search_terms, search_term_deltas, search_bitmaps, search_changes;
    INSERT INTO search_terms (kind, term, count, has_bitmaps)
    SELECT 0, word, ndoc, ndoc >= {FREQUENT} FROM ts_stat('SELECT document FROM listings WHERE is_searchable')
    WHERE left(word, 3) NOT IN ('#0=', '#1=', '#2=')
    UNION ALL
    SELECT counted.kind, counted.term, count(*), false
    FROM listings, marketplace_terms(title, city, state, '') AS counted WHERE is_searchable GROUP BY 1, 2;
    INSERT INTO search_bitmaps (term, block, bits)
    SELECT lexeme, listing_id >> 12, bit_or(set_bit({EMPTY_BITS}, (listing_id & 4095)::integer, 1))
    FROM listings CROSS JOIN LATERAL unnest(tsvector_to_array(document)) AS lexeme
    WHERE is_searchable AND lexeme IN (SELECT term FROM search_terms WHERE kind = 0 AND has_bitmaps)
    GROUP BY 1, 2;
END $$
"""  # noqa: S608

# Brings the bitmaps up to date with up to ``batch`` noted changes, and makes those of ``batch / 1000`` more lexemes that
# have become frequent. Only rows that really change are written.
FOLD_BITMAPS = f"""
CREATE FUNCTION fold_search_bitmaps(batch integer, threshold integer DEFAULT {FREQUENT}) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    changed bigint[];
    folded integer;
    frequent text;
BEGIN
    FOR frequent IN
        SELECT term FROM search_terms WHERE kind = 0 AND NOT has_bitmaps AND count >= threshold LIMIT 1 + batch / 1000
    LOOP
        DELETE FROM search_bitmaps WHERE term = frequent;
        INSERT INTO search_bitmaps (term, block, bits)
        SELECT frequent, listing_id >> 12, bit_or(set_bit({EMPTY_BITS}, (listing_id & 4095)::integer, 1))
        FROM listings WHERE is_searchable AND document @@ array_to_tsvector(ARRAY[frequent])::text::tsquery GROUP BY 2;
        UPDATE search_terms SET has_bitmaps = true WHERE kind = 0 AND term = frequent;
    END LOOP;
    WITH taken AS (
        DELETE FROM search_changes
        WHERE change_id IN (SELECT change_id FROM search_changes ORDER BY change_id LIMIT batch) RETURNING listing_id
    )
    SELECT array_agg(DISTINCT listing_id), count(*) INTO changed, folded FROM taken;
    IF folded = 0 THEN
        RETURN 0;
    END IF;
    CREATE TEMPORARY TABLE fresh ON COMMIT DROP AS
    SELECT lexeme AS term, listing_id >> 12 AS block, bit_or(set_bit({EMPTY_BITS}, (listing_id & 4095)::integer, 1)) AS bits
    FROM listings CROSS JOIN LATERAL unnest(tsvector_to_array(document)) AS lexeme
    WHERE listing_id = ANY(changed) AND is_searchable
    AND EXISTS (SELECT FROM search_terms WHERE kind = 0 AND term = lexeme COLLATE "C" AND has_bitmaps)
    GROUP BY 1, 2;
    WITH touched AS (
        SELECT id >> 12 AS block, bit_or(set_bit({EMPTY_BITS}, (id & 4095)::integer, 1)) AS bits
        FROM unnest(changed) AS id GROUP BY 1
    ), updated AS (
        SELECT old.term, old.block, (old.bits & ~touched.bits) | coalesce(fresh.bits, {EMPTY_BITS}) AS bits
        FROM search_bitmaps AS old JOIN touched USING (block) LEFT JOIN fresh USING (term, block)
        WHERE old.bits & touched.bits <> coalesce(fresh.bits, {EMPTY_BITS})
    )
    UPDATE search_bitmaps AS old SET bits = updated.bits
    FROM updated WHERE old.term = updated.term AND old.block = updated.block;
    INSERT INTO search_bitmaps (term, block, bits) SELECT term, block, bits FROM fresh ON CONFLICT DO NOTHING;
    DROP TABLE fresh;
    RETURN folded;
END $$
"""  # noqa: S608

TRIGGERS = {
    "INSERT": "REFERENCING NEW TABLE AS new_rows",
    "UPDATE": "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows",
    "DELETE": "REFERENCING OLD TABLE AS old_rows",
    "TRUNCATE": "",
}


def upgrade() -> None:
    create_indexes()
    create_tables()
    for function in (PHRASES, TERMS, COUNT_CHANGES, RECOUNT, FOLD_BITMAPS):
        op.execute(sa.text(function.replace(":", r"\:")))
    for event, tables in TRIGGERS.items():
        op.execute(
            f"CREATE TRIGGER count_terms_{event.lower()} AFTER {event} ON listings {tables} "
            "FOR EACH STATEMENT EXECUTE FUNCTION count_listing_terms()"
        )
    op.execute("SELECT recount_search_terms()")


def create_indexes() -> None:
    searchable = sa.text("is_searchable")
    for name, columns in ORDERS.items():
        op.create_index(f"ix_listings_search_{name}", "listings", columns, postgresql_where=searchable)
    op.create_index(
        "ix_listings_search_category_date_created",
        "listings",
        ["category", "date_created", "listing_id"],
        postgresql_include=["price"],
        postgresql_where=searchable,
    )
    op.create_index(
        "ix_listings_search_position",
        "listings",
        ["position"],
        postgresql_using="gist",
        postgresql_where=searchable,
        postgresql_include=IN_REGION,
    )
    op.create_index(
        "ix_listings_search_document",
        "listings",
        ["document"],
        postgresql_using="gin",
        postgresql_where=searchable,
        postgresql_with={"fastupdate": "off"},
    )


def create_tables() -> None:
    op.create_table(
        "search_terms",
        sa.Column("kind", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("term", sa.Text(collation="C"), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("has_bitmaps", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.PrimaryKeyConstraint("kind", "term", name=op.f("pk_search_terms")),
    )
    for length in (1, 3, 6):
        op.create_index(
            f"ix_search_terms_head_{length}",
            "search_terms",
            ["kind", sa.text(f'"left"(term, {length})'), sa.text("count DESC")],
            postgresql_where=sa.text("kind > 0"),
        )
    op.create_index(
        "ix_search_terms_similar",
        "search_terms",
        ["term"],
        postgresql_using="gin",
        postgresql_ops={"term": "gin_trgm_ops"},
        postgresql_where=sa.text("kind = ANY (ARRAY[1, 3])"),
        postgresql_with={"fastupdate": "off"},
    )
    op.create_table(
        "search_term_deltas",
        sa.Column("delta_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("term", sa.Text(collation="C"), nullable=False),
        sa.Column("delta", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("delta_id", name=op.f("pk_search_term_deltas")),
    )
    op.create_index("ix_search_term_deltas_term", "search_term_deltas", ["kind", "term"])
    op.create_table(
        "search_bitmaps",
        sa.Column("term", sa.Text(collation="C"), nullable=False),
        sa.Column("block", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("bits", postgresql.BIT(4096), nullable=False),
        sa.PrimaryKeyConstraint("term", "block", name=op.f("pk_search_bitmaps")),
    )
    op.create_index("ix_search_bitmaps_block", "search_bitmaps", ["block"])
    op.create_table(
        "search_changes",
        sa.Column("change_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("listing_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("change_id", name=op.f("pk_search_changes")),
    )


def downgrade() -> None:
    for event in TRIGGERS:
        op.execute(f"DROP TRIGGER count_terms_{event.lower()} ON listings")
    op.execute("DROP FUNCTION fold_search_bitmaps(integer, integer)")
    op.execute("DROP FUNCTION recount_search_terms()")
    op.execute("DROP FUNCTION count_listing_terms()")
    op.execute("DROP FUNCTION marketplace_terms(text, text, text, tsvector)")
    op.execute("DROP FUNCTION marketplace_phrases(text)")
    for table in ("search_changes", "search_bitmaps", "search_term_deltas"):
        op.drop_table(table)
    op.drop_table("search_terms")
    for name in (*ORDERS, "category_date_created", "position", "document"):
        op.drop_index(f"ix_listings_search_{name}", table_name="listings")
