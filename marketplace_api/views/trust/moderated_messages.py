"""Reported messages: what moderators do about them."""

from __future__ import annotations

from pyramid.request import Request

from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.trust.moderation import messages
from marketplace_api.hal.representation import Representation
from marketplace_api.hal.trust import moderated_messages as represent
from marketplace_api.resources.trust.moderated_messages import ModeratedMessageContext
from marketplace_api.schemas.trust import moderated_messages as schemas
from marketplace_api.security.permissions import Permission as P
from marketplace_api.views.negotiation import expected_version
from marketplace_api.views.service import Service

ONE = "/api/moderation/messages/{message_id}"
item = Service("moderation-message", ONE, ModeratedMessageContext)
restoring = Service("moderation-message-restore", f"{ONE}/restore", ModeratedMessageContext, on=ONE)


def _present(context: ModeratedMessageContext, _actor: Actor) -> bool:
    return context.row.deleted_at is None


def _restorable(context: ModeratedMessageContext, _actor: Actor) -> bool:
    return messages.is_restorable(context.row)


@item.operation(
    "GET",
    "read-moderated-message",
    P.MODERATION_READ,
    title="Read a reported message",
    result="moderated_message",
    description="What it says is read by whom a report of it is assigned to.",
)
def read(request: Request) -> Representation:
    return represent.moderated_message(request.context)


@item.operation(
    "DELETE",
    "delete",
    P.MESSAGE_MODERATE,
    title="Remove",
    body=schemas.RemoveMessage,
    applies=_present,
    result="moderated_message",
    description="Both of the two see that it was removed, and no longer what it said; its sender is told why.",
)
def delete(request: Request) -> Representation:
    row = messages.remove(
        request.db,
        request.actor,
        request.context.row.message_id,
        reason=request.validated["reason"],
        expected_version=expected_version(request),
    )
    return represent.moderated_message(request.context.with_row(row))


@restoring.operation(
    "POST",
    "restore",
    P.MESSAGE_MODERATE,
    title="Bring back",
    applies=_restorable,
    result="moderated_message",
    description="Both can read it again, unread where it was.",
)
def restore(request: Request) -> Representation:
    row = messages.restore(
        request.db, request.actor, request.context.row.message_id, expected_version=expected_version(request)
    )
    return represent.moderated_message(request.context.with_row(row))
