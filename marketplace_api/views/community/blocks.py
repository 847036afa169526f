"""Blocks: whose messages the caller does not want."""

from __future__ import annotations

from pyramid.request import Request

from marketplace_api.domain.community.conversations import blocks
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.hal.community import conversations as represent
from marketplace_api.hal.representation import Representation, message
from marketplace_api.resources.community.conversations import BLOCKS, BlockContext, BlocksContext, ConversationContext
from marketplace_api.resources.identity.accounts import UserContext
from marketplace_api.schemas.community import conversations as schemas
from marketplace_api.security.permissions import Permission
from marketplace_api.views.negotiation import page_request
from marketplace_api.views.service import Service

collection = Service("blocks", BLOCKS, BlocksContext)
item = Service("block", f"{BLOCKS}/{{user_id}}", BlockContext)


def _addable(context: BlocksContext, actor: Actor) -> bool:
    page = context.page
    return page is None or (not actor.owns(page.person_id) and bool(page.can_block))


def _there(context: BlockContext, _actor: Actor) -> bool:
    return context.is_there


@collection.operation(
    "GET", "list-blocks", Permission.BLOCK_READ, title="Whom you blocked", query=schemas.ListBlocks, result="blocks"
)
def find(request: Request) -> Representation:
    page = blocks.list_page(request.db, request.actor.user_id, page_request(request.query))
    return represent.blocks(request, page, request.context)


@collection.operation(
    "POST",
    "block",
    Permission.BLOCK_ADD,
    title="Block",
    body=schemas.AddBlock,
    success=201,
    again=200,
    applies=_addable,
    shown_on=(UserContext, ConversationContext),
    result="block",
    errors=(404,),
    description="Their messages reach you no more; what was sent before stays.",
)
def add(request: Request) -> Representation:
    row, was_there = blocks.add(request.db, request.actor, request.validated["user_id"])
    context = BlockContext(request, request.context, str(row.blocked_id), row.user_id, row.blocked_id)
    return represent.block(context, was_there=was_there)


@item.operation("GET", "read-block", Permission.BLOCK_READ, title="One block", result="block")
def read(request: Request) -> Representation:
    return represent.block(request.context)


@item.operation(
    "DELETE",
    "unblock",
    Permission.BLOCK_REMOVE,
    title="Unblock",
    applies=_there,
    shown_on=(UserContext, ConversationContext),
    result="message",
)
def remove(request: Request) -> Representation:
    blocks.remove(request.db, request.actor, request.context.blocked_id)
    return message("User unblocked", BLOCKS)
