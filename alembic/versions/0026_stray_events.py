"""Months are made for events that lie outside of all of them as well.

Where no worker made months ahead for so long that there was none for what happened, it went to the partition
``events_rest``; the months that were over when a worker came back were never made, so that nothing there was ever
dropped.

Revision: 0026, after: 0025
"""

import sqlalchemy as sa

from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

HEAD = """
CREATE OR REPLACE FUNCTION make_event_months() RETURNS integer LANGUAGE {language} VOLATILE SECURITY DEFINER
SET search_path = {schema}, pg_temp SET timezone = 'UTC' SET lock_timeout = '2s' AS $$"""

# First which, then each: nothing may read the rest while what is in it goes elsewhere.
BODY = """
DECLARE
    months timestamptz[];
    wanted timestamptz;
    made integer := 0;
BEGIN
    SELECT array_agg(month ORDER BY month) INTO months FROM (
        SELECT date_trunc('month', now()) + ahead * interval '1 month' AS month FROM generate_series(0, 2) AS ahead
        UNION SELECT date_trunc('month', date_created) FROM events_rest
    ) AS listed;
    FOREACH wanted IN ARRAY months LOOP
        made := made + make_event_month(wanted)::integer;
    END LOOP;
    RETURN made;
END $$
"""

BODY_BEFORE = """
    SELECT (count(*) FILTER (WHERE make_event_month(date_trunc('month', now()) + ahead * interval '1 month')))::integer
    FROM generate_series(0, 2) AS ahead
$$
"""


def upgrade() -> None:
    replace("plpgsql", BODY)


def downgrade() -> None:
    replace("sql", BODY_BEFORE)


def replace(language: str, body: str) -> None:
    schema = op.get_bind().execute(sa.text("SELECT quote_ident(current_schema())")).scalar_one()
    statement = HEAD.format(language=language, schema=schema) + body
    op.execute(sa.text(statement.replace(":", r"\:")))
