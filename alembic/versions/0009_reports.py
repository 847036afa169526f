"""Reports; indexes for what moderators and admins look through: accounts, waiting listings, the event log.

Revision: 0009, after: 0008
"""

import sqlalchemy as sa

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

STAGE = "CASE state WHEN 'open' THEN 0 WHEN 'assigned' THEN 1 WHEN 'resolved' THEN 2 ELSE 3 END"
IS_WAITING = (
    "deleted_at IS NULL AND (status = 'pending_verification' OR status = 'active' AND review_requested_at IS NOT NULL)"
)
CHECKS = {
    "subject_type": "subject_type IN ('listing', 'user', 'message', 'review')",
    "reason": "reason IN ('spam', 'fraud', 'prohibited', 'counterfeit', 'offensive', 'harassment', 'wrong_category', "
    "'personal_data', 'other')",
    "state": "state IN ('open', 'assigned', 'resolved', 'dismissed')",
    "comment": "length(comment) <= 1000",
    "reported": "subject_type <> 'user' OR subject_id = reported_id",
    "not_of_oneself": "reporter_id <> reported_id",
    "assignee": "assignee_id <> reported_id",
    "assigned": "(state <> 'open' OR assignee_id IS NULL) AND (state <> 'assigned' OR assignee_id IS NOT NULL)",
    "decided": "(state IN ('resolved', 'dismissed')) = (date_decided IS NOT NULL)",
    "nameless": "reporter_id IS NOT NULL OR date_decided IS NULL OR comment = ''",
}
PERSONS = {"reporter_id": "SET NULL", "reported_id": "CASCADE", "assignee_id": "RESTRICT"}
REPORT_INDEXES = {
    "ix_reports_stage": ["stage", "report_id"],
    "ix_reports_subject_type": ["subject_type", "stage", "report_id"],
    "ix_reports_subject": ["subject_type", "subject_id", "stage", "report_id"],
    "ix_reports_assignee_id": ["assignee_id", "stage", "report_id"],
    "ix_reports_reported_id": ["reported_id"],
}
ROLES = ("driver", "moderator", "staff", "admin")


def upgrade() -> None:
    create_reports()
    op.create_index("ix_events_actor_id_type", "events", ["actor_id", "type", "event_id"])
    op.create_index("ix_events_date_created", "events", ["date_created", "event_id"])
    since = sa.text("COALESCE(review_requested_at, date_updated)")
    op.create_index("ix_listings_waiting", "listings", [since, "listing_id"], postgresql_where=sa.text(IS_WAITING))
    op.create_index("ix_users_date_joined", "users", ["date_joined", "user_id"])
    op.create_index(
        "ix_users_state", "users", ["state", "date_joined", "user_id"], postgresql_where=sa.text("state <> 'active'")
    )
    op.create_index("ix_users_is_verified", "users", ["is_verified", "date_joined", "user_id"])
    for role in ROLES:
        has_role = sa.text(f"roles @> ARRAY['{role}']")
        op.create_index(f"ix_users_{role}", "users", ["date_joined", "user_id"], postgresql_where=has_role)
    for column in ("username", "email"):
        by_bytes = sa.text(f"lower({column}) text_pattern_ops")
        op.create_index(f"ix_users_{column}_beginning", "users", [by_bytes, "user_id"])


def create_reports() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "reports",
        sa.Column("report_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("reporter_id", sa.BigInteger(), nullable=True),
        sa.Column("subject_type", sa.String(20), nullable=False),
        sa.Column("subject_id", sa.BigInteger(), nullable=False),
        sa.Column("reported_id", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(20), nullable=False),
        sa.Column("comment", sa.Text(), server_default="", nullable=False),
        sa.Column("state", sa.String(20), server_default="open", nullable=False),
        sa.Column("assignee_id", sa.BigInteger(), nullable=True),
        sa.Column("decision_reason", sa.Text(), nullable=True),
        sa.Column("date_created", moment, server_default=sa.text("now()"), nullable=False),
        sa.Column("date_updated", moment, server_default=sa.text("now()"), nullable=False),
        sa.Column("date_decided", moment, nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("stage", sa.SmallInteger(), sa.Computed(STAGE, persisted=True), nullable=False),
        *(sa.CheckConstraint(rule, name=op.f(f"ck_reports_{name}")) for name, rule in CHECKS.items()),
        *(
            sa.ForeignKeyConstraint([column], ["users.user_id"], name=op.f(f"fk_reports_{column}"), ondelete=ondelete)
            for column, ondelete in PERSONS.items()
        ),
        sa.PrimaryKeyConstraint("report_id", name=op.f("pk_reports")),
        sa.UniqueConstraint(
            "reporter_id", "subject_type", "subject_id", name=op.f("uq_reports_reporter_id_subject_type_subject_id")
        ),
    )
    for name, columns in REPORT_INDEXES.items():
        op.create_index(name, "reports", columns)


def downgrade() -> None:
    for column in ("email", "username"):
        op.drop_index(f"ix_users_{column}_beginning", table_name="users")
    for role in ROLES:
        op.drop_index(f"ix_users_{role}", table_name="users")
    for name in ("is_verified", "state", "date_joined"):
        op.drop_index(f"ix_users_{name}", table_name="users")
    op.drop_index("ix_listings_waiting", table_name="listings")
    op.drop_index("ix_events_date_created", table_name="events")
    op.drop_index("ix_events_actor_id_type", table_name="events")
    op.drop_table("reports")
