"""Telephone numbers with their codes, subscriptions to web push, and what became of text messages.

Revision: 0021, after: 0020
"""

import sqlalchemy as sa

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

E164 = r"number ~ '^\+[1-9][0-9]{6,14}$'"
PRIVATE = ("phones", "phone_codes", "push_subscriptions")
TABLES = (*PRIVATE, "phone_code_counts", "phone_stops")

SYSTEM = "(SELECT current_setting('app.roles', true) = 'system')"
OWN = "user_id = (SELECT nullif(current_setting('app.user_id', true), '')::bigint)"


def upgrade() -> None:
    create_phones()
    create_counts()
    create_subscriptions()
    allow_statuses("due", "sent", "delivered", "skipped", "failed")
    op.create_index(
        "ix_deliveries_provider_reference",
        "deliveries",
        ["provider_reference"],
        postgresql_where=sa.text("provider_reference IS NOT NULL"),
    )
    for table in PRIVATE:
        run(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        run(f"CREATE POLICY system ON {table} USING ({SYSTEM})")
        run(f"CREATE POLICY own ON {table} FOR ALL USING ({OWN})")


def create_phones() -> None:
    op.create_table(
        "phones",
        sa.Column("user_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.String(16), nullable=False),
        moment("confirmed_at"),
        sa.CheckConstraint(E164, name=op.f("ck_phones_number")),
        sa.ForeignKeyConstraint(["user_id"], ["users.user_id"], name=op.f("fk_phones_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_phones")),
    )
    op.create_index("uq_phones_number", "phones", ["number"], unique=True)
    op.create_table(
        "phone_codes",
        sa.Column("user_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.String(16), nullable=False),
        sa.Column("event_id", sa.BigInteger()),
        sa.Column("code_hash", sa.LargeBinary()),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("problem", sa.String(20)),
        moment("date_created"),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(E164, name=op.f("ck_phone_codes_number")),
        sa.CheckConstraint("attempts BETWEEN 0 AND 5", name=op.f("ck_phone_codes_attempts")),
        sa.CheckConstraint("octet_length(code_hash) = 32", name=op.f("ck_phone_codes_code_hash")),
        sa.CheckConstraint("problem IN ('undeliverable', 'stopped')", name=op.f("ck_phone_codes_problem")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.user_id"], name=op.f("fk_phone_codes_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_phone_codes")),
    )
    op.create_index("ix_phone_codes_expires_at", "phone_codes", ["expires_at"])


def create_counts() -> None:
    op.create_table(
        "phone_code_counts",
        sa.Column("subject", sa.LargeBinary(), nullable=False),
        sa.Column("sent", sa.Integer(), nullable=False),
        moment("date_begun"),
        moment("last_sent"),
        sa.CheckConstraint("sent > 0", name=op.f("ck_phone_code_counts_sent")),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_phone_code_counts")),
    )
    op.create_index("ix_phone_code_counts_last_sent", "phone_code_counts", ["last_sent"])
    op.create_table(
        "phone_stops",
        sa.Column("subject", sa.LargeBinary(), nullable=False),
        moment("date_created"),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_phone_stops")),
    )


def create_subscriptions() -> None:
    table = "push_subscriptions"
    op.create_table(
        table,
        sa.Column("subscription_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("session_id", sa.BigInteger(), nullable=False),
        sa.Column("endpoint", sa.String(1000), nullable=False),
        sa.Column("p256dh", sa.LargeBinary(), nullable=False),
        sa.Column("auth", sa.LargeBinary(), nullable=False),
        sa.Column("device", sa.String(255), server_default="", nullable=False),
        moment("date_created"),
        sa.Column("last_used", sa.DateTime(timezone=True)),
        sa.Column("paused_until", sa.DateTime(timezone=True)),
        sa.CheckConstraint("endpoint LIKE 'https://%'", name=op.f("ck_push_subscriptions_endpoint")),
        sa.CheckConstraint("octet_length(p256dh) = 65", name=op.f("ck_push_subscriptions_p256dh")),
        sa.CheckConstraint("octet_length(auth) = 16", name=op.f("ck_push_subscriptions_auth")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.user_id"], name=op.f("fk_push_subscriptions_user_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.session_id"], name=op.f("fk_push_subscriptions_session_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("subscription_id", name=op.f("pk_push_subscriptions")),
    )
    op.create_index("uq_push_subscriptions_endpoint", table, ["endpoint"], unique=True)
    op.create_index("ix_push_subscriptions_user_id", table, ["user_id", "subscription_id"])
    op.create_index("ix_push_subscriptions_session_id", table, ["session_id"])


def allow_statuses(*statuses: str) -> None:
    op.drop_constraint(op.f("ck_deliveries_status"), "deliveries", type_="check")
    allowed = ", ".join(map(repr, statuses))
    op.create_check_constraint(op.f("ck_deliveries_status"), "deliveries", f"status IN ({allowed})")


def downgrade() -> None:
    op.drop_index("ix_deliveries_provider_reference", "deliveries")
    run("UPDATE deliveries SET status = 'sent' WHERE status = 'delivered'")
    allow_statuses("due", "sent", "skipped", "failed")
    for table in TABLES:
        op.drop_table(table)


def moment(name: str) -> sa.Column:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)


def run(statement: str) -> None:
    op.execute(sa.text(statement.replace(":", r"\:")))
