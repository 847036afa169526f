"""A bell for those who follow the event log.

A NOTIFY makes all commits that ring wait for each other, which costs concurrent writers most of their speed. So a writer
rings only while somebody waits, who then holds a shared advisory lock of this number (``domain/eventlog/feed.py``). Lock and
unlock stand in one expression, in which nothing can interrupt.
"""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE FUNCTION ring_event_bell() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NOT (pg_try_advisory_lock(7405002) AND pg_advisory_unlock(7405002)) THEN
                PERFORM pg_notify('events', '');
            END IF;
            RETURN NULL;
        END
        $$
        """
    )
    op.execute(
        "CREATE TRIGGER ring_event_bell AFTER INSERT ON events FOR EACH STATEMENT EXECUTE FUNCTION ring_event_bell()"
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER ring_event_bell ON events")
    op.execute("DROP FUNCTION ring_event_bell()")
