"""Outbound notifications, daily digests, and addresses that bounce.

Revision: 0020, after: 0019
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

NOW = sa.text("now()")
OWN = "user_id = (SELECT nullif(current_setting('app.user_id', true), '')::bigint)"
SYSTEM = "(SELECT current_setting('app.roles', true) = 'system')"
IDS = ("actor_id", "listing_id", "conversation_id", "review_id", "session_id")

# For monitors, who see nobody's rows. What is beyond a hundred thousand is not counted.
STATES = """
CREATE FUNCTION delivery_states() RETURNS TABLE (channel text, due bigint, failed bigint, oldest_seconds float8)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
    SELECT way.channel,
        (SELECT count(*) FROM (
            SELECT FROM deliveries WHERE deliveries.channel = way.channel AND status = 'due' AND due_at <= now()
            LIMIT 100000
        ) AS waiting),
        (SELECT count(*) FROM (
            SELECT FROM deliveries WHERE deliveries.channel = way.channel AND status = 'failed' LIMIT 100000
        ) AS failed),
        coalesce((
            SELECT extract(epoch FROM now() - min(due_at)) FROM deliveries
            WHERE deliveries.channel = way.channel AND status = 'due' AND due_at <= now()
        ), 0)::float8
    FROM unnest(ARRAY['email', 'sms', 'web_push']) AS way (channel)
$$
"""


def upgrade() -> None:
    create_deliveries()
    schema = op.get_bind().execute(sa.text("SELECT quote_ident(current_schema())")).scalar_one()
    run(STATES.format(schema=schema))
    run("ALTER TABLE deliveries ENABLE ROW LEVEL SECURITY")
    run(f"CREATE POLICY system ON deliveries USING ({SYSTEM})")
    run(f"CREATE POLICY own_read ON deliveries FOR SELECT USING ({OWN})")
    op.add_column(
        "notification_preferences", sa.Column("digest_enabled", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
    op.add_column(
        "notification_preferences", sa.Column("digest_time", sa.Time(), server_default="08:00", nullable=False)
    )
    op.add_column(
        "notification_preferences", sa.Column("digest_zone", sa.String(64), server_default="UTC", nullable=False)
    )
    op.add_column("users", sa.Column("email_bounced_at", sa.DateTime(timezone=True)))
    # For the deletion of those that nobody reads any more.
    op.create_index(
        "ix_notifications_stale", "notifications", ["date_updated"], postgresql_where=sa.text("NOT is_read")
    )


def create_deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("delivery_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("channel", sa.String(20), nullable=False),
        sa.Column("type", sa.String(50), nullable=False),
        sa.Column("event_id", sa.BigInteger(), nullable=False),
        sa.Column("group_key", sa.String(100)),
        sa.Column("count", sa.Integer(), server_default=sa.text("1"), nullable=False),
        *(sa.Column(name, sa.BigInteger()) for name in IDS),
        sa.Column("data", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("status", sa.String(10), server_default="due", nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("provider_reference", sa.String(255)),
        sa.Column("error", sa.String(50)),
        sa.Column("date_created", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("date_done", sa.DateTime(timezone=True)),
        sa.CheckConstraint("channel IN ('email', 'sms', 'web_push')", name=op.f("ck_deliveries_channel")),
        sa.CheckConstraint("type ~ '^[a-z_]+$'", name=op.f("ck_deliveries_type")),
        sa.CheckConstraint("status IN ('due', 'sent', 'skipped', 'failed')", name=op.f("ck_deliveries_status")),
        sa.CheckConstraint("(status = 'due') = (date_done IS NULL)", name=op.f("ck_deliveries_date_done")),
        sa.CheckConstraint("error ~ '^[a-z0-9_]+$'", name=op.f("ck_deliveries_error")),
        sa.CheckConstraint("attempts >= 0 AND count > 0", name=op.f("ck_deliveries_counts")),
        sa.CheckConstraint("jsonb_typeof(data) = 'object'", name=op.f("ck_deliveries_data")),
        sa.ForeignKeyConstraint(["user_id"], ["users.user_id"], name=op.f("fk_deliveries_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("delivery_id", name=op.f("pk_deliveries")),
    )
    due, failed, done = (sa.text(f"status {of}") for of in ("= 'due'", "= 'failed'", "<> 'due'"))
    op.create_index("uq_deliveries_once", "deliveries", ["user_id", "channel", "type", "event_id"], unique=True)
    op.create_index("ix_deliveries_due", "deliveries", ["channel", "due_at", "delivery_id"], postgresql_where=due)
    op.create_index("ix_deliveries_due_of_user", "deliveries", ["user_id", "channel"], postgresql_where=due)
    op.create_index("ix_deliveries_failed", "deliveries", ["channel", "delivery_id"], postgresql_where=failed)
    op.create_index("ix_deliveries_done", "deliveries", ["date_done"], postgresql_where=done)


def downgrade() -> None:
    op.drop_index("ix_notifications_stale", "notifications")
    op.drop_column("users", "email_bounced_at")
    for column in ("digest_zone", "digest_time", "digest_enabled"):
        op.drop_column("notification_preferences", column)
    op.execute("DROP FUNCTION delivery_states()")
    op.drop_table("deliveries")


def run(statement: str) -> None:
    op.execute(sa.text(statement.replace(":", r"\:")))
