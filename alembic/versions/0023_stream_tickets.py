"""Tickets for streams of events.

Revision: 0023, after: 0022
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
OWN = "user_id = (SELECT nullif(current_setting('app.user_id', true), '')::bigint)"
SYSTEM = "(SELECT coalesce(current_setting('app.roles', true), '')) = 'system'"


def upgrade() -> None:
    op.create_table(
        "stream_tickets",
        sa.Column("ticket_hash", postgresql.BYTEA(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("session_id", sa.BigInteger(), nullable=False),
        sa.Column("date_created", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.CheckConstraint("octet_length(ticket_hash) = 32", name=op.f("ck_stream_tickets_hash")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.user_id"], name=op.f("fk_stream_tickets_user_id_users"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["session_id"],
            ["sessions.session_id"],
            name=op.f("fk_stream_tickets_session_id_sessions"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("ticket_hash", name=op.f("pk_stream_tickets")),
    )
    op.create_index(op.f("ix_stream_tickets_user_id"), "stream_tickets", ["user_id"])
    op.create_index(op.f("ix_stream_tickets_session_id"), "stream_tickets", ["session_id"])
    op.execute("ALTER TABLE stream_tickets ENABLE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY own ON stream_tickets USING ({OWN})")
    op.execute(f"CREATE POLICY system ON stream_tickets USING ({SYSTEM})")


def downgrade() -> None:
    op.drop_table("stream_tickets")
