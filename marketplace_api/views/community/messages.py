"""Messages: writing one, reading it, and noting that it was read."""

from __future__ import annotations

from pyramid.request import Request

from marketplace_api.domain.community.conversations import inbox
from marketplace_api.domain.community.conversations import send as conversation_send
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.hal.community import conversations as represent
from marketplace_api.hal.community.message_link import prepared
from marketplace_api.hal.representation import Representation, form, link
from marketplace_api.hal.representation import message as answered
from marketplace_api.resources.catalog.listings import ListingContext
from marketplace_api.resources.community.conversations import ConversationContext, MessageContext, MessagesContext
from marketplace_api.resources.identity.accounts import UserContext
from marketplace_api.schemas.community import conversations as schemas
from marketplace_api.security.permissions import Permission
from marketplace_api.views.service import Service

collection = Service("messages", "/api/messages", MessagesContext, limits="message")
item = Service("message", "/api/messages/{message_id}", MessageContext)
reading = Service("message-read", "/api/messages/{message_id}/read", MessageContext, on="/api/messages/{message_id}")


def _open(context: MessagesContext, _actor: Actor) -> bool:
    return context.is_open


@collection.operation(
    "POST",
    "message",
    Permission.MESSAGE_SEND,
    title="Write a message",
    body=schemas.SendMessage,
    success=201,
    applies=_open,
    shown_on=(UserContext, ListingContext, ConversationContext),
    result="direct_message",
    errors=(404,),
    description="The first one begins the conversation of the two; there is never more than one.",
)
def send(request: Request) -> Representation:
    row = conversation_send.send(request.db, request.actor, **request.validated)
    return represent.message(request.context.child(row))


@collection.operation(
    "GET",
    "message-form",
    Permission.MESSAGE_SEND,
    title="The form: Write a message",
    query=schemas.PrepareMessage,
    result="form",
)
def prepare(request: Request) -> Representation:
    context = request.context
    if any(request.query.values()):
        context.fill(**request.query)
    shown = form(context, collection.declared[0])
    shown.links["self"] = link(prepared(context))
    shown.is_public = False
    return shown


@item.operation(
    "GET",
    "read-message",
    Permission.MESSAGE_READ,
    title="Read a message",
    query=schemas.ReadMessage,
    result="direct_message",
)
def read(request: Request) -> Representation:
    return represent.message(request.context, request.query["fields"])


@reading.operation("POST", "read", Permission.MESSAGE_MARK, title="Mark as read", result="message")
def mark_read(request: Request) -> Representation:
    context = request.context
    inbox.mark_read(request.db, request.actor, context.row.message_id)
    return answered("Message marked as read", context.path)
