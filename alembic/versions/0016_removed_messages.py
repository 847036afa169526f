"""Messages that moderators removed, and figures of listings.

Revision: 0016, after: 0015
"""

import sqlalchemy as sa

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

# A list of conversations shows how the last message begins; that of a removed one is gone there as well. A message that
# is sent meanwhile holds the conversation and is the last one when this comes to it.
PREVIEW_MESSAGE = """
CREATE FUNCTION preview_message() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    line text := CASE
        WHEN NEW.deleted_at IS NOT NULL THEN 'This message was removed by a moderator.'
        ELSE btrim(regexp_replace(NEW.content, '\\s+', ' ', 'g'))
    END;
BEGIN
    UPDATE conversations SET
        last_message_preview = CASE WHEN length(line) > 140 THEN left(line, 139) || '…' ELSE line END,
        timestamp_updated = clock_timestamp()
    WHERE conversation_id = NEW.conversation_id AND last_message_id = NEW.message_id;
    RETURN NULL;
END $$
"""


def upgrade() -> None:
    op.add_column("messages", sa.Column("deleted_at", sa.DateTime(timezone=True)))
    op.add_column("messages", sa.Column("moderation_reason", sa.Text()))
    op.add_column("messages", sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False))
    op.create_check_constraint(
        op.f("ck_messages_moderation_reason"), "messages", "deleted_at IS NULL OR moderation_reason IS NOT NULL"
    )
    op.execute(sa.text(PREVIEW_MESSAGE.replace(":", r"\:")))
    op.execute(
        "CREATE TRIGGER preview_message AFTER UPDATE OF deleted_at ON messages FOR EACH ROW "
        "WHEN ((OLD.deleted_at IS NULL) <> (NEW.deleted_at IS NULL)) EXECUTE FUNCTION preview_message()"
    )
    op.create_index(
        "ix_listings_figures",
        "listings",
        ["date_created"],
        postgresql_include=["status", "category", "country", "deleted_at", "is_verified_listing"],
    )


def downgrade() -> None:
    op.drop_index("ix_listings_figures", "listings")
    op.execute("DROP TRIGGER preview_message ON messages")
    op.execute("DROP FUNCTION preview_message()")
    op.drop_constraint(op.f("ck_messages_moderation_reason"), "messages", type_="check")
    for column in ("version", "moderation_reason", "deleted_at"):
        op.drop_column("messages", column)
