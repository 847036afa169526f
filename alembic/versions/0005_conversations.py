"""Conversations, messages and blocks.

Revision: 0005, after: 0004
"""

import sqlalchemy as sa

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# Messages between two people and blocks between them are written one after the other, so that a block that is committed
# refuses every later message. Statements after it see what was committed while it waited.
LOCK_PAIR = """
CREATE FUNCTION lock_pair(one bigint, other bigint) RETURNS void LANGUAGE sql VOLATILE AS $$
    SELECT pg_advisory_xact_lock(hashtextextended('pair ' || least(one, other) || ' ' || greatest(one, other), 0))
$$
"""

MAKE_SIDES = """
CREATE FUNCTION make_sides() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO conversation_sides (conversation_id, user_id, other_id) VALUES
        (NEW.conversation_id, NEW.participant1_id, NEW.participant2_id),
        (NEW.conversation_id, NEW.participant2_id, NEW.participant1_id);
    RETURN NULL;
END $$
"""

GUARD_MESSAGE = """
CREATE FUNCTION guard_message() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM lock_pair(NEW.sender_id, NEW.receiver_id);
    IF EXISTS (SELECT FROM blocks WHERE user_id = NEW.receiver_id AND blocked_id = NEW.sender_id) THEN
        RAISE EXCEPTION 'the receiver has blocked the sender'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ck_messages_not_blocked';
    END IF;
    RETURN NEW;
END $$
"""

GUARD_BLOCK = """
CREATE FUNCTION guard_block() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM lock_pair(NEW.user_id, NEW.blocked_id);
    RETURN NEW;
END $$
"""

# The sides one after the other, the smaller id first: inboxes are then locked in one order by everybody.
COUNT_MESSAGE = """
CREATE FUNCTION count_message() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    line text := btrim(regexp_replace(NEW.content, '\\s+', ' ', 'g'));
    person bigint;
BEGIN
    UPDATE conversations SET
        last_message_id = NEW.message_id, timestamp_updated = NEW.timestamp_sent,
        last_message_preview = CASE WHEN length(line) > 140 THEN left(line, 139) || '…' ELSE line END
    WHERE conversation_id = NEW.conversation_id;
    FOREACH person IN ARRAY ARRAY[least(NEW.sender_id, NEW.receiver_id), greatest(NEW.sender_id, NEW.receiver_id)] LOOP
        UPDATE conversation_sides SET
            last_message_id = NEW.message_id, message_count = message_count + 1,
            unread_count = unread_count + (person = NEW.receiver_id)::integer
        WHERE conversation_id = NEW.conversation_id AND user_id = person;
    END LOOP;
    RETURN NULL;
END $$
"""

COUNT_INBOX = """
CREATE FUNCTION count_inbox() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    person bigint := coalesce(NEW.user_id, OLD.user_id);
    unread integer := coalesce(NEW.unread_count, 0) - coalesce(OLD.unread_count, 0);
    current integer := coalesce((NEW.last_message_id > NEW.hidden_through AND NOT NEW.archived)::integer, 0)
        - coalesce((OLD.last_message_id > OLD.hidden_through AND NOT OLD.archived)::integer, 0);
    archived integer := coalesce((NEW.last_message_id > NEW.hidden_through AND NEW.archived)::integer, 0)
        - coalesce((OLD.last_message_id > OLD.hidden_through AND OLD.archived)::integer, 0);
BEGIN
    IF unread = 0 AND current = 0 AND archived = 0 THEN
        RETURN NULL;
    END IF;
    LOOP
        UPDATE inboxes AS box SET
            unread_count = box.unread_count + unread, current_count = box.current_count + current,
            archived_count = box.archived_count + archived
        WHERE box.user_id = person;
        EXIT WHEN FOUND;
        -- Not with the numbers: what is proposed must pass the CHECK even where the row turns out to be there.
        INSERT INTO inboxes (user_id) VALUES (person) ON CONFLICT DO NOTHING;
    END LOOP;
    RETURN NULL;
END $$
"""

FUNCTIONS = (LOCK_PAIR, MAKE_SIDES, GUARD_MESSAGE, GUARD_BLOCK, COUNT_MESSAGE, COUNT_INBOX)

TRIGGERS = (
    "make_sides AFTER INSERT ON conversations FOR EACH ROW EXECUTE FUNCTION make_sides()",
    "guard_message BEFORE INSERT ON messages FOR EACH ROW EXECUTE FUNCTION guard_message()",
    "guard_block BEFORE INSERT ON blocks FOR EACH ROW EXECUTE FUNCTION guard_block()",
    "count_message AFTER INSERT ON messages FOR EACH ROW EXECUTE FUNCTION count_message()",
    "count_inbox AFTER INSERT OR UPDATE OR DELETE ON conversation_sides FOR EACH ROW EXECUTE FUNCTION count_inbox()",
)


def upgrade() -> None:
    create_conversations()
    create_sides()
    create_messages()
    create_blocks()
    for function in FUNCTIONS:
        op.execute(sa.text(function.replace(":", r"\:")))
    for trigger in TRIGGERS:
        op.execute(f"CREATE TRIGGER {trigger}")


def create_conversations() -> None:
    op.create_table(
        "conversations",
        sa.Column("conversation_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("participant1_id", sa.BigInteger(), nullable=False),
        sa.Column("participant2_id", sa.BigInteger(), nullable=False),
        sa.Column("last_message_id", sa.BigInteger(), nullable=True),
        sa.Column("last_message_preview", sa.String(140), nullable=True),
        sa.Column("timestamp_created", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("timestamp_updated", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("participant1_id < participant2_id", name=op.f("ck_conversations_participants")),
        sa.CheckConstraint(
            "(last_message_id IS NULL) = (last_message_preview IS NULL)", name=op.f("ck_conversations_last_message")
        ),
        sa.ForeignKeyConstraint(["participant1_id"], ["users.user_id"], name=op.f("fk_conversations_participant1_id")),
        sa.ForeignKeyConstraint(["participant2_id"], ["users.user_id"], name=op.f("fk_conversations_participant2_id")),
        sa.PrimaryKeyConstraint("conversation_id", name=op.f("pk_conversations")),
        sa.UniqueConstraint(
            "participant1_id", "participant2_id", name=op.f("uq_conversations_participant1_id_participant2_id")
        ),
        sa.UniqueConstraint("conversation_id", "participant1_id", "participant2_id", name="uq_conversations_sides"),
    )
    op.create_index("ix_conversations_participant2_id", "conversations", ["participant2_id"])
    op.create_table(
        "inboxes",
        sa.Column("user_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("unread_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("current_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("archived_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint(
            "unread_count >= 0 AND current_count >= 0 AND archived_count >= 0", name=op.f("ck_inboxes_counts")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.user_id"], name=op.f("fk_inboxes_user_id")),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_inboxes")),
    )


def create_sides() -> None:
    op.create_table(
        "conversation_sides",
        sa.Column("conversation_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("user_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("other_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "participant1_id", sa.BigInteger(), sa.Computed("LEAST(user_id, other_id)", persisted=True), nullable=False
        ),
        sa.Column(
            "participant2_id",
            sa.BigInteger(),
            sa.Computed("GREATEST(user_id, other_id)", persisted=True),
            nullable=False,
        ),
        sa.Column("archived", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("last_message_id", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("hidden_through", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("read_through", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("message_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("unread_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint("unread_count BETWEEN 0 AND message_count", name=op.f("ck_conversation_sides_unread_count")),
        sa.CheckConstraint(
            "hidden_through <= last_message_id AND read_through <= last_message_id",
            name=op.f("ck_conversation_sides_through"),
        ),
        sa.ForeignKeyConstraint(
            ["conversation_id", "participant1_id", "participant2_id"],
            ["conversations.conversation_id", "conversations.participant1_id", "conversations.participant2_id"],
            name="fk_conversation_sides_conversation",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("conversation_id", "user_id", name=op.f("pk_conversation_sides")),
    )
    op.create_index(
        "ix_conversation_sides_list",
        "conversation_sides",
        ["user_id", "archived", "last_message_id"],
        postgresql_where=sa.text("last_message_id > hidden_through"),
    )


def create_messages() -> None:
    op.create_table(
        "messages",
        sa.Column("message_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("conversation_id", sa.BigInteger(), nullable=False),
        sa.Column("sender_id", sa.BigInteger(), nullable=False),
        sa.Column("receiver_id", sa.BigInteger(), nullable=False),
        sa.Column("listing_id", sa.BigInteger(), nullable=True),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("timestamp_sent", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("is_read", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.CheckConstraint("length(content) BETWEEN 1 AND 5000", name=op.f("ck_messages_content")),
        sa.CheckConstraint("sender_id <> receiver_id", name=op.f("ck_messages_not_to_oneself")),
        *(
            sa.ForeignKeyConstraint(
                ["conversation_id", column],
                ["conversation_sides.conversation_id", "conversation_sides.user_id"],
                name=f"fk_messages_{column}",
                ondelete="CASCADE",
            )
            for column in ("sender_id", "receiver_id")
        ),
        sa.ForeignKeyConstraint(
            ["listing_id"], ["listings.listing_id"], name=op.f("fk_messages_listing_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("message_id", name=op.f("pk_messages")),
        sa.UniqueConstraint("conversation_id", "message_id", name=op.f("uq_messages_conversation_id_message_id")),
    )
    op.create_index("ix_messages_sender_id", "messages", ["sender_id", "message_id"])
    op.create_index("ix_messages_receiver_id", "messages", ["receiver_id", "message_id"])
    op.create_foreign_key(
        "fk_conversations_last_message",
        "conversations",
        "messages",
        ["conversation_id", "last_message_id"],
        ["conversation_id", "message_id"],
    )


def create_blocks() -> None:
    op.create_table(
        "blocks",
        sa.Column("user_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("blocked_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("date_blocked", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("user_id <> blocked_id", name=op.f("ck_blocks_not_oneself")),
        sa.ForeignKeyConstraint(["blocked_id"], ["users.user_id"], name=op.f("fk_blocks_blocked_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.user_id"], name=op.f("fk_blocks_user_id")),
        sa.PrimaryKeyConstraint("user_id", "blocked_id", name=op.f("pk_blocks")),
    )
    op.create_index("ix_blocks_list", "blocks", ["user_id", "date_blocked", "blocked_id"])


def downgrade() -> None:
    op.drop_constraint("fk_conversations_last_message", "conversations", type_="foreignkey")
    for table in ("blocks", "messages", "conversation_sides", "inboxes", "conversations"):
        op.drop_table(table)
    for function in (
        "count_inbox()",
        "count_message()",
        "guard_block()",
        "guard_message()",
        "make_sides()",
        "lock_pair(bigint, bigint)",
    ):
        op.execute(f"DROP FUNCTION {function}")
