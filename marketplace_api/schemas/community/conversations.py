"""What may come in about conversations, messages and blocks, and the names of what goes out."""

from __future__ import annotations

from typing import Any

import colander
from colander import SchemaNode

from marketplace_api.schemas.base import Body, PageQuery, Query, names, only
from marketplace_api.schemas.types import Boolean, FromQuery, Integer, InvalidField, Nullable, Text

MESSAGE_FIELDS = (
    "message_id",
    "conversation_id",
    "sender_id",
    "receiver_id",
    "listing_id",
    "content",
    "timestamp_sent",
    "is_read",
    "is_removed",
    "moderation_reason",
)
CONVERSATION_FIELDS = (
    "conversation_id",
    "participant1_id",
    "participant2_id",
    "last_message_id",
    "last_message_preview",
    "unreadCount",
    "archived",
    "is_blocked",
    "timestamp_created",
    "timestamp_updated",
)
_TARGETS = ("receiver_id", "conversation_id")


class SendMessage(Body):
    """A message to a person, or into a conversation with them."""

    read_only = frozenset({"message_id", "sender_id", "timestamp_sent", "is_read", "is_removed", "moderation_reason"})
    together = {"oneOf": [only("receiver_id", "conversation_id"), only("conversation_id", "receiver_id")]}
    receiver_id = SchemaNode(
        Nullable(Integer(1)), missing=None, title="Receiver", description="A user_id; or a conversation_id."
    )
    conversation_id = SchemaNode(
        Nullable(Integer(1)),
        missing=None,
        title="Conversation",
        description="One that you take part in; or a receiver_id.",
    )
    content = SchemaNode(Text(5000, lines=True), title="Message", description="Plain text.")
    listing_id = SchemaNode(Nullable(Integer(1)), missing=None, title="Listing", description="What it is about.")

    def validator(self, node: SchemaNode, value: dict[str, Any]) -> None:
        given = [name for name in _TARGETS if value.get(name) is not None]
        if len(given) == 1:
            return
        code, message = (
            ("two_targets", "Name one of the two.")
            if given
            else ("required", "Name a receiver_id or a conversation_id.")
        )
        problem = colander.Invalid(node)
        for child in node.children:
            if child.name in _TARGETS:
                problem.add(InvalidField(child, code, message))
        raise problem


class PrepareMessage(Query):
    """Whom the form is for, and about what."""

    receiver_id = SchemaNode(FromQuery(Integer(1)), missing=None, description="A user_id.")
    listing_id = SchemaNode(FromQuery(Integer(1)), missing=None, description="What the message will be about.")


class ListConversations(PageQuery):
    """One's own conversations, the latest message first."""

    archived = SchemaNode(
        FromQuery(Boolean()), missing=False, description="The archived ones instead of the current ones."
    )
    fields = names(CONVERSATION_FIELDS, "Only these fields of each conversation.")


class ReadConversation(Query):
    """How to show one conversation."""

    fields = names(CONVERSATION_FIELDS, "Only these fields.")


class ListMessages(PageQuery):
    """The messages of a conversation, newest first."""

    limit = SchemaNode(FromQuery(Integer(1, 100)), missing=20, description="Messages a page.")
    fields = names(MESSAGE_FIELDS, "Only these fields of each message.")


class ReadMessage(Query):
    """How to show one message."""

    fields = names(MESSAGE_FIELDS, "Only these fields.")


class AddBlock(Body):
    """Whom to block."""

    read_only = frozenset({"username", "date_blocked"})
    user_id = SchemaNode(Integer(1), title="Person", description="The user_id of whom you want no messages from.")


class ListBlocks(PageQuery):
    """Whom one has blocked, the latest first."""
