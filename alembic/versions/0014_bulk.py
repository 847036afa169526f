"""What moderation of very many listings at once stands on.

Revision: 0014, after: 0013
"""

import sqlalchemy as sa

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

# The index notes new entries in a list first, and each statement that wrote brings all of the list into the index at its
# end: for a thousand listings that is a fifth of the work of entering each word of each of them, and no reader ever
# finds a list that somebody else has left behind. Only the owner of an index may do this, whoever writes.
ENTER = """
CREATE FUNCTION enter_listings_into_search() RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $$
BEGIN
    PERFORM gin_clean_pending_list('ix_listings_search_document');
END $$
"""

# The next things of a batch, along the index that holds them in order. Their number changes with each part, so that no
# statistics ever know it, and a plan made for two of them sorts all that are left.
NEXT = """
CREATE FUNCTION next_of_batch(batch bigint, held text, most integer)
RETURNS TABLE (subject_id bigint, version bigint, previous jsonb) LANGUAGE plpgsql STABLE
SET enable_sort = off SET enable_bitmapscan = off SET enable_seqscan = off AS $$
BEGIN
    RETURN QUERY
    SELECT one.subject_id, one.version, one.previous FROM moderation_batch_rows AS one
    WHERE one.batch_id = batch AND one.outcome = held AND one.outcome IN ('waiting', 'changed')
    ORDER BY one.subject_id LIMIT most;
END $$
"""


def count_changes(enter: str, order: str) -> str:
    """As in 0002; the counts of terms in ``order`` go into neighbouring places of their index."""
    return f"""
CREATE OR REPLACE FUNCTION count_listing_terms() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO search_term_deltas (kind, term, delta)
        SELECT counted.kind, counted.term, count(*)
        FROM new_rows AS after, marketplace_terms(after.title, after.city, after.state, after.document) AS counted
        WHERE after.is_searchable GROUP BY 1, 2 {order};
        INSERT INTO search_changes (listing_id) SELECT listing_id FROM new_rows WHERE is_searchable;
        {enter}
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO search_term_deltas (kind, term, delta)
        SELECT counted.kind, counted.term, -count(*)
        FROM old_rows AS before, marketplace_terms(before.title, before.city, before.state, before.document) AS counted
        WHERE before.is_searchable GROUP BY 1, 2 {order};
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
        GROUP BY 1, 2 HAVING sum(changed.sign) <> 0 {order};
        INSERT INTO search_changes (listing_id)
        SELECT coalesce(before.listing_id, after.listing_id)
        FROM old_rows AS before FULL JOIN new_rows AS after USING (listing_id)
        WHERE (before.is_searchable OR after.is_searchable)
        AND (before.is_searchable, before.document) IS DISTINCT FROM (after.is_searchable, after.document);
        {enter}
    ELSE
        TRUNCATE search_terms, search_term_deltas, search_bitmaps, search_changes;
    END IF;
    RETURN NULL;
END $$
"""  # noqa: S608  made of constants only


def upgrade() -> None:
    op.execute(NEXT)
    op.execute(ENTER)
    op.execute(sa.text(count_changes("PERFORM enter_listings_into_search();", "ORDER BY 1, 2").replace(":", r"\:")))
    op.execute("ALTER INDEX ix_listings_search_document SET (fastupdate = on)")


def downgrade() -> None:
    op.execute("ALTER INDEX ix_listings_search_document SET (fastupdate = off)")
    op.execute("SELECT gin_clean_pending_list('ix_listings_search_document')")
    op.execute(sa.text(count_changes("", "").replace(":", r"\:")))
    op.execute("DROP FUNCTION enter_listings_into_search()")
    op.execute("DROP FUNCTION next_of_batch(bigint, text, integer)")
