"""Conversations, messages and blocks as they go out: each as the one of the two who asks may see it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pyramid.request import Request

from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.kernel.paging import Page
from marketplace_api.domain.trust.reports import queries as report_rows
from marketplace_api.hal.community.message_link import MESSAGES, message_link
from marketplace_api.hal.identity.pictures import picture_url
from marketplace_api.hal.paging import collection
from marketplace_api.hal.registry import represents
from marketplace_api.hal.representation import HAL_FORMS, Links, Representation, link
from marketplace_api.resources.base import Context
from marketplace_api.resources.community.conversations import (
    BLOCKS,
    BlockContext,
    BlocksContext,
    ConversationContext,
    MessageContext,
)

_COLLECTION = link("/api/conversations")


@represents(ConversationContext)
def conversation(context: ConversationContext, fields: Collection[str] = ()) -> Representation:
    """One conversation."""
    shown = _conversation(context, context, fields)
    shown.last_modified = context.row.timestamp_updated
    return shown


def conversations(
    request: Request, page: Page, unread: int, context: Context, fields: Collection[str] = ()
) -> Representation:
    """One page of the caller's conversations; ``unread`` counts the unread messages in all of them."""
    with_forms = request.media == HAL_FORMS
    contexts = [ConversationContext(request, None, str(row.conversation_id), row) for row in page.items]
    items = [_conversation(each, each if with_forms else None, fields) for each in contexts]
    return collection(
        request, "conversations", items, page, context.path, context=context, extra={"unreadCount": unread}
    )


def _conversation(
    seen: ConversationContext, context: ConversationContext | None, fields: Collection[str]
) -> Representation:
    row = seen.row
    values = {
        "conversation_id": row.conversation_id,
        "participant1_id": row.participant1_id,
        "participant2_id": row.participant2_id,
        "last_message_id": row.last_message_id,
        "last_message_preview": row.last_message_preview,
        "unreadCount": row.unread_count,
        "archived": row.archived,
        "is_blocked": row.is_blocked,
        "timestamp_created": row.timestamp_created,
        "timestamp_updated": row.timestamp_updated,
    }
    links: Links = {"self": link(seen.path), "collection": _COLLECTION, "mkt:messages": link(f"{seen.path}/messages")}
    if row.other_username is not None:
        links["mkt:participant"] = link(f"/api/users/{row.other_id}")
    links |= message_link(seen)
    return Representation(
        _chosen(values, fields, "conversation_id"),
        links,
        {"other_participant": _participant(seen.request, row)},
        context=context,
        values=values,
    )


def _participant(request: Request, row: Any) -> Representation:
    """The other of the two; whose account is gone has neither name nor link."""
    is_there = row.other_username is not None
    state = {
        "user_id": row.other_id,
        "username": row.other_username,
        "profile_picture_url": picture_url(request, row.other_picture_url),
        "is_available": is_there,
    }
    return Representation(state, {"self": link(f"/api/users/{row.other_id}")} if is_there else {})


@represents(MessageContext)
def message(context: MessageContext, fields: Collection[str] = ()) -> Representation:
    """One message."""
    shown = _message(context.row, context.request.actor, context.row.other_username, context, fields)
    # Removed and brought back, it has changed since it was sent; the ETag tells.
    shown.last_modified = context.row.timestamp_sent if context.row.version == 1 else None
    return shown


def messages(
    request: Request, page: Page, context: ConversationContext, fields: Collection[str] = ()
) -> Representation:
    """One page of a conversation, with what can be done to the conversation itself."""
    with_forms = request.media == HAL_FORMS
    contexts = [MessageContext(request, None, str(row.message_id), row) if with_forms else None for row in page.items]
    if with_forms:
        ids = [row.message_id for row in page.items]
        reported = report_rows.reported_by(request.db, request.actor.user_id, "message", ids)
        for each in filter(None, contexts):
            each.reported = each.row.message_id in reported
    items = [
        _message(row, request.actor, context.row.other_username, each, fields)
        for row, each in zip(page.items, contexts, strict=True)
    ]
    shown = collection(request, "messages", items, page, f"{context.path}/messages", context=context)
    shown.links["up"] = link(context.path)
    return shown


def _message(
    row: Any, actor: Actor, other_username: str | None, context: MessageContext | None, fields: Collection[str]
) -> Representation:
    values = {
        "message_id": row.message_id,
        "conversation_id": row.conversation_id,
        "sender_id": row.sender_id,
        "receiver_id": row.receiver_id,
        "listing_id": row.listing_id,
        "content": row.content,
        "timestamp_sent": row.timestamp_sent,
        "is_read": row.is_read,
        "is_removed": row.is_removed,
    }
    if row.is_removed and actor.owns(row.sender_id):
        values["moderation_reason"] = row.moderation_reason
    links: Links = {
        "self": link(f"{MESSAGES}/{row.message_id}"),
        "mkt:conversation": link(f"/api/conversations/{row.conversation_id}"),
    }
    if actor.owns(row.sender_id) or other_username is not None:
        links["author"] = link(f"/api/users/{row.sender_id}")
    if row.listing_is_open:
        links["mkt:listing"] = link(f"/api/listings/{row.listing_id}")
    return Representation(_chosen(values, fields, "message_id"), links, context=context, values=values)


@represents(BlockContext)
def block(context: BlockContext, *, was_there: bool = False) -> Representation:
    """One block of the caller's."""
    shown = _block(context)
    shown.is_repeat = was_there
    return shown


def blocks(request: Request, page: Page, context: BlocksContext) -> Representation:
    """One page of whom the caller has blocked."""
    items = []
    for row in page.items:
        item = BlockContext(request, None, str(row.blocked_id), row.user_id, row.blocked_id)
        item.row = row
        items.append(_block(item))
    return collection(request, "blocks", items, page, BLOCKS, context=context)


def _block(context: BlockContext) -> Representation:
    row = context.row
    state = {"user_id": row.blocked_id, "username": row.username, "date_blocked": row.date_blocked}
    links: Links = {"self": link(context.path), "collection": link(BLOCKS)}
    if row.username is not None:
        links["mkt:profile"] = link(f"/api/users/{row.blocked_id}")
    return Representation(state, links, context=context)


def _chosen(values: dict[str, Any], fields: Collection[str], key: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in fields or name == key} if fields else values
