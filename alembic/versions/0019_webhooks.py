"""Webhooks: who is told of events, what they were told, and how far.

Revision: 0019, after: 0018
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

NOW = sa.text("now()")
MOMENT = sa.DateTime(timezone=True)
SYSTEM = "(SELECT current_setting('app.roles', true) = 'system')"
MODERATES = "(SELECT current_setting('app.roles', true) = 'moderator')"
ENDPOINT_CHECKS = {
    "url": "length(url) <= 2000 AND url ~ '^https?://'",
    "description": "length(description) <= 200",
    "event_types": "cardinality(event_types) BETWEEN 1 AND 100",
    "status": "status IN ('enabled', 'disabled')",
    "disabled_reason": "disabled_reason IN ('by_hand', 'gone', 'failing')",
    "disabled": "(status = 'disabled') = (disabled_reason IS NOT NULL)",
    "previous": "(previous_secret IS NULL) = (previous_until IS NULL)",
    "failing": "(failures > 0) = (failing_since IS NOT NULL)",
}
DELIVERY_CHECKS = {
    "kind": "kind IN ('automatic', 'test', 'resend')",
    "status": "status IN ('waiting', 'delivered', 'failed')",
    "next_attempt": "(status = 'waiting') = (next_attempt_at IS NOT NULL)",
    "finished": "(status = 'waiting') = (date_finished IS NULL)",
}
DELIVERY_INDEXES = {
    "endpoint_id": ["endpoint_id", "delivery_id"],
    "status": ["endpoint_id", "status", "delivery_id"],
    "type": ["endpoint_id", "type", "delivery_id"],
    "date_created": ["date_created"],
}

# What monitors are told, who may not see the rows.
FIGURES = """
CREATE FUNCTION webhook_figures()
RETURNS TABLE (enabled bigint, disabled bigint, delivered bigint, failed bigint, waiting bigint, oldest_seconds float8)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
    SELECT count(*) FILTER (WHERE status = 'enabled'), count(*) FILTER (WHERE status = 'disabled'),
        coalesce(sum(delivered_count), 0)::bigint, coalesce(sum(failed_count), 0)::bigint,
        (SELECT count(*) FROM (SELECT FROM webhook_deliveries WHERE status = 'waiting' LIMIT 100000) AS held),
        coalesce(extract(epoch FROM now() - min(
            (SELECT due.next_attempt_at FROM webhook_deliveries AS due
            WHERE due.endpoint_id = webhook_endpoints.endpoint_id AND due.status = 'waiting'
                AND due.next_attempt_at <= now()
            ORDER BY due.next_attempt_at LIMIT 1)
        ) FILTER (WHERE status = 'enabled')), 0)::float8
    FROM webhook_endpoints
$$
"""


def upgrade() -> None:
    create_endpoints()
    create_deliveries()
    op.create_table(
        "webhook_position",
        sa.Column("position_id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("event_id", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("position_id = 1", name=op.f("ck_webhook_position_single")),
        sa.PrimaryKeyConstraint("position_id", name=op.f("pk_webhook_position")),
    )
    # What was before the first endpoint is told to nobody.
    op.execute("INSERT INTO webhook_position VALUES (1, 0)")
    schema = op.get_bind().execute(sa.text("SELECT quote_ident(current_schema())")).scalar_one()
    op.execute(sa.text(FIGURES.format(schema=schema).replace(":", r"\:")))
    for table in ("webhook_endpoints", "webhook_deliveries"):
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY system ON {table} USING ({SYSTEM})")
        # The database does not tell admins from others who look after the marketplace; the API lets none but them.
        op.execute(f"CREATE POLICY moderated ON {table} USING ({MODERATES})")


def create_endpoints() -> None:
    op.create_table(
        "webhook_endpoints",
        sa.Column("endpoint_id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("event_types", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("previous_secret", sa.LargeBinary()),
        sa.Column("previous_until", MOMENT),
        sa.Column("status", sa.String(10), server_default="enabled", nullable=False),
        sa.Column("disabled_reason", sa.String(10)),
        sa.Column("failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("failing_since", MOMENT),
        sa.Column("delivered_count", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("failed_count", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("since_event_id", sa.BigInteger(), nullable=False),
        sa.Column("date_created", MOMENT, server_default=NOW, nullable=False),
        sa.Column("date_updated", MOMENT, server_default=NOW, nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        *(
            sa.CheckConstraint(rule, name=op.f(f"ck_webhook_endpoints_{name}"))
            for name, rule in ENDPOINT_CHECKS.items()
        ),
        sa.PrimaryKeyConstraint("endpoint_id", name=op.f("pk_webhook_endpoints")),
    )


def create_deliveries() -> None:
    op.create_table(
        "webhook_deliveries",
        sa.Column("delivery_id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("endpoint_id", sa.BigInteger(), nullable=False),
        sa.Column("event_id", sa.BigInteger(), nullable=False),
        sa.Column("type", sa.String(60), nullable=False),
        sa.Column("kind", sa.String(10), server_default="automatic", nullable=False),
        sa.Column("status", sa.String(10), server_default="waiting", nullable=False),
        sa.Column("attempts", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("response_status", sa.SmallInteger()),
        sa.Column("response_body", sa.Text()),
        sa.Column("problem", sa.Text()),
        sa.Column("next_attempt_at", MOMENT, server_default=NOW),
        sa.Column("date_created", MOMENT, server_default=NOW, nullable=False),
        sa.Column("date_finished", MOMENT),
        *(
            sa.CheckConstraint(rule, name=op.f(f"ck_webhook_deliveries_{name}"))
            for name, rule in DELIVERY_CHECKS.items()
        ),
        sa.ForeignKeyConstraint(
            ["endpoint_id"],
            ["webhook_endpoints.endpoint_id"],
            ondelete="CASCADE",
            name=op.f("fk_webhook_deliveries_endpoint_id"),
        ),
        sa.PrimaryKeyConstraint("delivery_id", name=op.f("pk_webhook_deliveries")),
    )
    op.create_index(
        "uq_webhook_deliveries_automatic",
        "webhook_deliveries",
        ["endpoint_id", "event_id"],
        unique=True,
        postgresql_where=sa.text("kind = 'automatic'"),
    )
    op.create_index(
        "ix_webhook_deliveries_due",
        "webhook_deliveries",
        ["endpoint_id", "next_attempt_at"],
        postgresql_where=sa.text("status = 'waiting'"),
    )
    for name, columns in DELIVERY_INDEXES.items():
        op.create_index(f"ix_webhook_deliveries_{name}", "webhook_deliveries", columns)


def downgrade() -> None:
    op.execute("DROP FUNCTION webhook_figures()")
    for table in ("webhook_position", "webhook_deliveries", "webhook_endpoints"):
        op.drop_table(table)
