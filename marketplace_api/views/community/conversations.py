"""Conversations: the caller's list, one with its messages, and what a side does with it."""

from __future__ import annotations

from pyramid.request import Request

from marketplace_api.domain.community.conversations import inbox
from marketplace_api.domain.community.conversations import reading as domain
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.hal.community import conversations as represent
from marketplace_api.hal.representation import Representation, message
from marketplace_api.resources.community.conversations import ConversationContext, ConversationsContext
from marketplace_api.schemas.community import conversations as schemas
from marketplace_api.security.permissions import Permission
from marketplace_api.views.negotiation import page_request
from marketplace_api.views.service import Service

ONE = "/api/conversations/{conversation_id}"
collection = Service("conversations", "/api/conversations", ConversationsContext)
item = Service("conversation", ONE, ConversationContext)
messages = Service("conversation-messages", f"{ONE}/messages", ConversationContext, on=ONE)
reading = Service("conversation-read", f"{ONE}/read", ConversationContext, on=ONE)
archiving = Service("conversation-archive", f"{ONE}/archive", ConversationContext, on=ONE)
unarchiving = Service("conversation-unarchive", f"{ONE}/unarchive", ConversationContext, on=ONE)


def _current(context: ConversationContext, _actor: Actor) -> bool:
    return not context.row.archived


def _archived(context: ConversationContext, _actor: Actor) -> bool:
    return bool(context.row.archived)


@collection.operation(
    "GET",
    "list-conversations",
    Permission.CONVERSATION_LIST,
    title="Your conversations",
    query=schemas.ListConversations,
    result="conversations",
    description="`unreadCount` of the list counts all that is unread, in archived conversations too.",
)
def find(request: Request) -> Representation:
    query = request.query
    page, unread = domain.conversations(
        request.db, request.actor.user_id, page_request(query), archived=query["archived"]
    )
    return represent.conversations(request, page, unread, request.context, query["fields"])


@item.operation(
    "GET",
    "read-conversation",
    Permission.CONVERSATION_READ,
    title="Read a conversation",
    query=schemas.ReadConversation,
    result="conversation",
)
def read(request: Request) -> Representation:
    return represent.conversation(request.context, request.query["fields"])


@messages.operation(
    "GET",
    "list-messages",
    Permission.CONVERSATION_READ,
    title="The messages of a conversation",
    query=schemas.ListMessages,
    result="direct_messages",
)
def list_messages(request: Request) -> Representation:
    page = domain.messages(request.db, request.context.row, page_request(request.query))
    return represent.messages(request, page, request.context, request.query["fields"])


@reading.operation("POST", "read", Permission.CONVERSATION_KEEP, title="Mark all as read", result="conversation")
def mark_read(request: Request) -> Representation:
    row = inbox.mark_all_read(request.db, request.actor, request.context.row.conversation_id)
    return represent.conversation(request.context.with_row(row))


@archiving.operation(
    "POST",
    "archive",
    Permission.CONVERSATION_KEEP,
    title="Archive",
    applies=_current,
    result="conversation",
    description="It stays in the archive when messages come, until it is taken out.",
)
def archive(request: Request) -> Representation:
    row = inbox.archive(request.db, request.actor, request.context.row.conversation_id, archived=True)
    return represent.conversation(request.context.with_row(row))


@unarchiving.operation(
    "POST",
    "unarchive",
    Permission.CONVERSATION_KEEP,
    title="Take out of the archive",
    applies=_archived,
    result="conversation",
)
def unarchive(request: Request) -> Representation:
    row = inbox.archive(request.db, request.actor, request.context.row.conversation_id, archived=False)
    return represent.conversation(request.context.with_row(row))


@item.operation(
    "DELETE",
    "delete",
    Permission.CONVERSATION_KEEP,
    title="Delete from your view",
    result="message",
    description="The other keeps it. A new message brings it back, with no more than what came since.",
)
def hide(request: Request) -> Representation:
    inbox.hide(request.db, request.actor, request.context.row.conversation_id)
    return message("Conversation deleted", "/api/conversations")
