"""Reported messages in the tree: ``/api/moderation/messages``."""

from __future__ import annotations

from typing import Any

from pyramid.authorization import Allow, Deny
from pyramid.request import Request

from marketplace_api.domain.trust.moderation import messages, reported_messages
from marketplace_api.errors import DomainError
from marketplace_api.resources.base import ACL, Context, identifier, known_caller
from marketplace_api.security.permissions import Permission as P
from marketplace_api.security.principals import MODERATOR, reader


class ModeratedMessageContext(Context):
    """``/api/moderation/messages/{message_id}``: a reported message as moderators decide on it.

    To all others, and to the two who wrote to each other, it looks absent: nobody learns here what was reported.
    """

    conceal = True
    read_permission = P.MODERATION_READ

    def __init__(self, request: Request, parent: Context | None, name: str, row: Any) -> None:
        super().__init__(request, parent, name)
        self.path = f"/api/moderation/messages/{name}"
        self.row = row

    @property
    def version(self) -> int:
        return int(self.row.version)

    def with_row(self, row: Any) -> ModeratedMessageContext:
        """The same place in the tree with a newer row."""
        return ModeratedMessageContext(self.request, self.__parent__, self.__name__, row)

    def refreshed(self) -> ModeratedMessageContext:
        """This message as it is in the database now."""
        return self.with_row(reported_messages.find(self.request.db, self.row.message_id, self.request.actor.user_id))

    @property
    def __acl__(self) -> ACL:  # type: ignore[override]
        allowed = (P.MODERATION_READ, P.MESSAGE_MODERATE)
        return [
            *((Deny, reader(user_id), allowed) for user_id in (self.row.sender_id, self.row.receiver_id)),
            (Allow, MODERATOR, allowed),
        ]

    def unavailable(self, operation: str) -> DomainError:
        return messages.refused(self.row)


class ModeratedMessagesContext(Context):
    """``/api/moderation/messages``."""

    def __getitem__(self, name: str) -> Context:
        caller = known_caller(self.request, "moderators alone decide on messages")
        row = reported_messages.find(self.request.db, identifier(name), caller)
        if row is None:
            raise KeyError(name)
        return ModeratedMessageContext(self.request, self, name, row)
