"""Conversations of two, their messages, and who does not want to hear from whom.

Triggers of the database keep what must never be wrong, whoever writes: they give every conversation its two sides,
count a new message for both of them and in the receivers' inboxes, and refuse a message to somebody who has blocked the
sender; the preview of a message goes and comes back with it. See the revisions that made these tables.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from marketplace_api.database.base import Base, BigId, BigInt, Created, Timestamp, Version

PREVIEW = 140
"""Characters of the last message that a list of conversations shows at most."""

LONGEST_MESSAGE = 5_000

REMOVED = "This message was removed by a moderator."
"""What both read instead of a removed message; the trigger that keeps previews has the same words."""


class Conversation(Base):
    """The one conversation of two people, whoever of them began it: the smaller id comes first."""

    __tablename__ = "conversations"

    conversation_id: Mapped[BigId]
    participant1_id: Mapped[BigInt] = mapped_column(sa.ForeignKey("users.user_id"))
    participant2_id: Mapped[BigInt] = mapped_column(sa.ForeignKey("users.user_id"))
    last_message_id: Mapped[BigInt | None]
    last_message_preview: Mapped[str | None] = mapped_column(sa.String(PREVIEW))
    timestamp_created: Mapped[Created]
    timestamp_updated: Mapped[Created]

    __table_args__ = (
        sa.CheckConstraint("participant1_id < participant2_id", "participants"),
        sa.CheckConstraint("(last_message_id IS NULL) = (last_message_preview IS NULL)", "last_message"),
        sa.UniqueConstraint("participant1_id", "participant2_id"),
        # What the sides refer to, so that they cannot name other people.
        sa.UniqueConstraint("conversation_id", "participant1_id", "participant2_id", name="uq_conversations_sides"),
        sa.Index("ix_conversations_participant2_id", "participant2_id"),
        sa.ForeignKeyConstraint(
            ["conversation_id", "last_message_id"],
            ["messages.conversation_id", "messages.message_id"],
            name="fk_conversations_last_message",
            use_alter=True,
        ),
    )


class ConversationSide(Base):
    """A conversation as one of the two sees it.

    Messages up to ``hidden_through`` are deleted from this view, those up to ``read_through`` are read, so that neither
    costs more for a long conversation than for a short one. ``message_count`` and ``unread_count`` count what is seen.
    """

    __tablename__ = "conversation_sides"

    conversation_id: Mapped[BigInt] = mapped_column(primary_key=True, autoincrement=False)
    user_id: Mapped[BigInt] = mapped_column(primary_key=True, autoincrement=False)
    other_id: Mapped[BigInt]
    participant1_id: Mapped[int] = mapped_column(sa.BigInteger, sa.Computed("LEAST(user_id, other_id)", persisted=True))
    participant2_id: Mapped[int] = mapped_column(
        sa.BigInteger, sa.Computed("GREATEST(user_id, other_id)", persisted=True)
    )
    archived: Mapped[bool] = mapped_column(server_default=sa.false())
    last_message_id: Mapped[BigInt] = mapped_column(server_default=sa.text("0"))
    hidden_through: Mapped[BigInt] = mapped_column(server_default=sa.text("0"))
    read_through: Mapped[BigInt] = mapped_column(server_default=sa.text("0"))
    message_count: Mapped[int] = mapped_column(server_default=sa.text("0"))
    unread_count: Mapped[int] = mapped_column(server_default=sa.text("0"))

    __table_args__ = (
        sa.CheckConstraint("unread_count BETWEEN 0 AND message_count", "unread_count"),
        sa.CheckConstraint("hidden_through <= last_message_id AND read_through <= last_message_id", "through"),
        sa.ForeignKeyConstraint(
            ["conversation_id", "participant1_id", "participant2_id"],
            ["conversations.conversation_id", "conversations.participant1_id", "conversations.participant2_id"],
            name="fk_conversation_sides_conversation",
            ondelete="CASCADE",
        ),
        sa.Index(
            "ix_conversation_sides_list",
            "user_id",
            "archived",
            "last_message_id",
            postgresql_where=sa.text("last_message_id > hidden_through"),
        ),
    )


class Inbox(Base):
    """What all sides of one person come to: kept by a trigger, so that no list needs to be counted."""

    __tablename__ = "inboxes"

    user_id: Mapped[BigInt] = mapped_column(sa.ForeignKey("users.user_id"), primary_key=True, autoincrement=False)
    unread_count: Mapped[int] = mapped_column(server_default=sa.text("0"))
    current_count: Mapped[int] = mapped_column(server_default=sa.text("0"))
    archived_count: Mapped[int] = mapped_column(server_default=sa.text("0"))

    __table_args__ = (sa.CheckConstraint("unread_count >= 0 AND current_count >= 0 AND archived_count >= 0", "counts"),)


class Message(Base):
    """What one of the two wrote to the other.

    ``is_read`` notes single messages; ``ConversationSide.read_through`` all that came before. Of one that moderators
    removed (``deleted_at``) neither sees the content any more; it is kept to be brought back.
    """

    __tablename__ = "messages"

    message_id: Mapped[BigId]
    conversation_id: Mapped[BigInt]
    sender_id: Mapped[BigInt]
    receiver_id: Mapped[BigInt]
    listing_id: Mapped[BigInt | None] = mapped_column(sa.ForeignKey("listings.listing_id", ondelete="SET NULL"))
    content: Mapped[str] = mapped_column(sa.Text)
    timestamp_sent: Mapped[Created]
    is_read: Mapped[bool] = mapped_column(server_default=sa.false())
    deleted_at: Mapped[Timestamp | None]
    moderation_reason: Mapped[str | None] = mapped_column(sa.Text)
    version: Mapped[Version]

    __table_args__ = (
        sa.CheckConstraint("deleted_at IS NULL OR moderation_reason IS NOT NULL", "moderation_reason"),
        sa.CheckConstraint(f"length(content) BETWEEN 1 AND {LONGEST_MESSAGE}", "content"),
        sa.CheckConstraint("sender_id <> receiver_id", "not_to_oneself"),
        # Both are sides of this conversation; a conversation has no more than two.
        *(
            sa.ForeignKeyConstraint(
                ["conversation_id", column],
                ["conversation_sides.conversation_id", "conversation_sides.user_id"],
                name=f"fk_messages_{column}",
                ondelete="CASCADE",
            )
            for column in ("sender_id", "receiver_id")
        ),
        sa.UniqueConstraint("conversation_id", "message_id"),
        sa.Index("ix_messages_sender_id", "sender_id", "message_id"),
        sa.Index("ix_messages_receiver_id", "receiver_id", "message_id"),
    )


class Block(Base):
    """``blocked_id`` cannot write to ``user_id``."""

    __tablename__ = "blocks"

    user_id: Mapped[BigInt] = mapped_column(sa.ForeignKey("users.user_id"), primary_key=True, autoincrement=False)
    blocked_id: Mapped[BigInt] = mapped_column(sa.ForeignKey("users.user_id"), primary_key=True, autoincrement=False)
    date_blocked: Mapped[Created]

    __table_args__ = (
        sa.CheckConstraint("user_id <> blocked_id", "not_oneself"),
        sa.Index("ix_blocks_list", "user_id", "date_blocked", "blocked_id"),
    )
