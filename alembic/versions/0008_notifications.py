"""Notifications and their preferences.

Revision: 0008, after: 0007
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

NOW = sa.text("now()")

# Once for a statement, however many rows it wrote. Boxes are locked in the order of their accounts, so that two
# statements about many people never wait for each other in a circle.
COUNT_NOTIFICATIONS = """
CREATE FUNCTION count_notifications() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO notification_boxes AS box (user_id, total_count, unread_count)
        SELECT user_id, count(*), count(*) FILTER (WHERE NOT is_read) FROM come GROUP BY user_id ORDER BY user_id
        ON CONFLICT (user_id) DO UPDATE SET
            total_count = box.total_count + excluded.total_count,
            unread_count = box.unread_count + excluded.unread_count;
    ELSIF TG_OP = 'UPDATE' THEN
        PERFORM FROM notification_boxes WHERE user_id IN (
            SELECT come.user_id FROM come JOIN gone USING (notification_id) WHERE come.is_read <> gone.is_read
        ) ORDER BY user_id FOR NO KEY UPDATE;
        UPDATE notification_boxes AS box SET unread_count = box.unread_count + changed.unread FROM (
            SELECT come.user_id, sum(CASE WHEN come.is_read THEN -1 ELSE 1 END) AS unread
            FROM come JOIN gone USING (notification_id) WHERE come.is_read <> gone.is_read GROUP BY come.user_id
        ) AS changed WHERE box.user_id = changed.user_id;
    ELSE
        PERFORM FROM notification_boxes WHERE user_id IN (SELECT user_id FROM gone)
        ORDER BY user_id FOR NO KEY UPDATE;
        UPDATE notification_boxes AS box SET
            total_count = box.total_count - changed.total, unread_count = box.unread_count - changed.unread
        FROM (
            SELECT user_id, count(*) AS total, count(*) FILTER (WHERE NOT is_read) AS unread FROM gone GROUP BY user_id
        ) AS changed WHERE box.user_id = changed.user_id;
    END IF;
    RETURN NULL;
END $$
"""

TRIGGERS = (
    "count_new_notifications AFTER INSERT ON notifications REFERENCING NEW TABLE AS come",
    "count_changed_notifications AFTER UPDATE ON notifications REFERENCING OLD TABLE AS gone NEW TABLE AS come",
    "count_deleted_notifications AFTER DELETE ON notifications REFERENCING OLD TABLE AS gone",
)


def upgrade() -> None:
    create_notifications()
    create_boxes()
    create_preferences()
    # Whether a device has been here before is asked at every log-in.
    op.create_index("ix_sessions_known_device", "sessions", ["user_id", "device", "address"])
    op.execute(sa.text(COUNT_NOTIFICATIONS.replace(":", r"\:")))
    for trigger in TRIGGERS:
        op.execute(f"CREATE TRIGGER {trigger} FOR EACH STATEMENT EXECUTE FUNCTION count_notifications()")


def person() -> sa.Column:
    """The account that a row belongs to."""
    return sa.Column("user_id", sa.BigInteger(), autoincrement=False, nullable=False)


def belongs(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["user_id"], ["users.user_id"], name=op.f(f"fk_{table}_user_id"), ondelete="CASCADE")


def create_notifications() -> None:
    op.create_table(
        "notifications",
        sa.Column("notification_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("type", sa.String(50), nullable=False),
        sa.Column("group_key", sa.String(100), nullable=True),
        sa.Column("count", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("event_id", sa.BigInteger(), nullable=False),
        *(
            sa.Column(name, sa.BigInteger(), nullable=True)
            for name in ("actor_id", "listing_id", "conversation_id", "review_id", "session_id")
        ),
        sa.Column("data", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("is_read", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("date_created", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("date_updated", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.CheckConstraint("type ~ '^[a-z_]+$'", name=op.f("ck_notifications_type")),
        sa.CheckConstraint("count > 0", name=op.f("ck_notifications_count")),
        sa.CheckConstraint("user_id <> actor_id", name=op.f("ck_notifications_not_of_oneself")),
        sa.CheckConstraint("jsonb_typeof(data) = 'object'", name=op.f("ck_notifications_data")),
        belongs("notifications"),
        sa.PrimaryKeyConstraint("notification_id", name=op.f("pk_notifications")),
    )
    place = ["user_id", "date_updated", "notification_id"]
    unread, read = sa.text("NOT is_read"), sa.text("is_read")
    open_group = sa.text("NOT is_read AND group_key IS NOT NULL")
    op.create_index(
        "uq_notifications_open_group",
        "notifications",
        ["user_id", "group_key"],
        unique=True,
        postgresql_where=open_group,
    )
    op.create_index("ix_notifications_list", "notifications", place)
    op.create_index("ix_notifications_unread", "notifications", place, postgresql_where=unread)
    op.create_index("ix_notifications_read", "notifications", ["date_updated"], postgresql_where=read)
    op.create_table(
        "notified_events",
        sa.Column("event_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("type", sa.String(50), nullable=False),
        sa.Column("through_id", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("is_done", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("date_created", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("event_id", "type", name=op.f("pk_notified_events")),
    )


def create_boxes() -> None:
    op.create_table(
        "notification_boxes",
        person(),
        sa.Column("total_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("unread_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint("unread_count BETWEEN 0 AND total_count", name=op.f("ck_notification_boxes_counts")),
        belongs("notification_boxes"),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_notification_boxes")),
    )


def create_preferences() -> None:
    op.create_table(
        "notification_preferences",
        person(),
        sa.Column("quiet_start", sa.Time(), nullable=True),
        sa.Column("quiet_end", sa.Time(), nullable=True),
        sa.Column("time_zone", sa.String(64), server_default="UTC", nullable=False),
        sa.Column("date_updated", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint(
            "(quiet_start IS NULL) = (quiet_end IS NULL)", name=op.f("ck_notification_preferences_quiet_both")
        ),
        sa.CheckConstraint("quiet_start <> quiet_end", name=op.f("ck_notification_preferences_quiet_some_time")),
        belongs("notification_preferences"),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_notification_preferences")),
    )
    op.create_table(
        "notification_choices",
        person(),
        sa.Column("type", sa.String(50), nullable=False),
        sa.Column("channel", sa.String(20), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.CheckConstraint("type ~ '^[a-z_]+$'", name=op.f("ck_notification_choices_type")),
        sa.CheckConstraint(
            "channel IN ('in_app', 'email', 'sms', 'web_push')", name=op.f("ck_notification_choices_channel")
        ),
        sa.CheckConstraint(
            "enabled OR channel <> 'email' OR type NOT IN ('password_changed', 'new_login')",
            name=op.f("ck_notification_choices_security_by_email"),
        ),
        belongs("notification_choices"),
        sa.PrimaryKeyConstraint("user_id", "type", "channel", name=op.f("pk_notification_choices")),
    )


def downgrade() -> None:
    op.drop_index("ix_sessions_known_device", "sessions")
    for table in (
        "notification_choices",
        "notification_preferences",
        "notification_boxes",
        "notified_events",
        "notifications",
    ):
        op.drop_table(table)
    op.execute("DROP FUNCTION count_notifications()")
