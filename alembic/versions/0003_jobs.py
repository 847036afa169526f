"""The job queue's own tables and functions.

Revision: 0003, after: 0002
"""

from procrastinate.schema import SchemaManager

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The queue's schema comes with its library; it holds % signs, so it goes to the driver as it is.
    op.get_bind().connection.driver_connection.execute(SchemaManager.get_schema().encode())


def downgrade() -> None:
    op.execute(
        """
        DO $$
        DECLARE item record;
        BEGIN
            FOR item IN SELECT oid::regclass AS name FROM pg_class WHERE relname LIKE 'procrastinate\\_%' AND relkind IN ('r', 'p') LOOP
                EXECUTE format('DROP TABLE IF EXISTS %s CASCADE', item.name);
            END LOOP;
            FOR item IN SELECT oid::regprocedure AS name FROM pg_proc WHERE proname LIKE 'procrastinate\\_%' LOOP
                EXECUTE format('DROP FUNCTION IF EXISTS %s CASCADE', item.name);
            END LOOP;
            FOR item IN SELECT oid::regtype AS name FROM pg_type WHERE typname LIKE 'procrastinate\\_%' AND typtype IN ('e', 'c') LOOP
                EXECUTE format('DROP TYPE IF EXISTS %s CASCADE', item.name);
            END LOOP;
        END $$
        """
    )
