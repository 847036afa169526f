"""Conversations in the tree: ``/api/conversations``, ``/api/messages`` and ``/api/users/me/blocks``.

The tree only holds what the caller takes part in, so to strangers, moderators among them, it is simply not there.
"""

from __future__ import annotations

from typing import Any

from pyramid.authorization import Allow, Authenticated
from pyramid.request import Request

from marketplace_api.domain.catalog.listings import queries as listing_rows
from marketplace_api.domain.community.conversations import blocks, inbox, policy, queries
from marketplace_api.domain.trust.reports import queries as report_rows
from marketplace_api.errors import DomainError
from marketplace_api.resources.base import ACL, Context, identifier, known_caller
from marketplace_api.resources.catalog.listings import ListingContext
from marketplace_api.resources.reify import reify
from marketplace_api.security.permissions import Permission
from marketplace_api.security.principals import CUSTOMER, owner, reader

BLOCKS = "/api/users/me/blocks"


class ConversationContext(Context):
    """One conversation from the caller's side; ``row`` is the light row that its representation is made from."""

    conceal = True
    read_permission = Permission.CONVERSATION_READ

    def __init__(self, request: Request, parent: Context | None, name: str, row: Any) -> None:
        super().__init__(request, parent, name)
        self.path = f"/api/conversations/{name}"
        self.row = row
        self.person_id: int = row.other_id
        self.is_blocked: bool = row.is_blocked

    def with_row(self, row: Any) -> ConversationContext:
        """The same place in the tree with a newer row."""
        return ConversationContext(self.request, self.__parent__, self.__name__, row)

    @property
    def can_message(self) -> bool:
        """Whether the other takes messages from the caller, who has not blocked them."""
        row = self.row
        return policy.is_open(row.other_state, blocks_caller=row.blocks_caller, is_blocked=self.is_blocked)

    @property
    def can_block(self) -> bool:
        return not self.is_blocked and self.row.other_state != "erased"

    @property
    def __acl__(self) -> ACL:  # type: ignore[override]
        side = self.row.user_id
        return [
            (Allow, reader(side), (Permission.CONVERSATION_READ,)),
            (Allow, owner(side), (Permission.CONVERSATION_KEEP,)),
        ]

    def unavailable(self, operation: str) -> DomainError:
        if operation in ("archive", "unarchive"):
            return inbox.wrong_place(self.row.conversation_id, archived=self.row.archived)
        return super().unavailable(operation)


class ConversationsContext(Context):
    """``/api/conversations``."""

    __acl__ = [(Allow, Authenticated, (Permission.CONVERSATION_LIST,))]

    def __getitem__(self, name: str) -> Context:
        row = queries.find(
            self.request.db, identifier(name), known_caller(self.request, "conversations belong to an account")
        )
        if row is None:
            raise KeyError(name)
        return ConversationContext(self.request, self, name, row)


class MessageContext(Context):
    """One message that the caller sent or got."""

    conceal = True
    read_permission = Permission.MESSAGE_READ

    def __init__(self, request: Request, parent: Context | None, name: str, row: Any) -> None:
        super().__init__(request, parent, name)
        self.path = f"/api/messages/{name}"
        self.row = row

    @reify
    def reported(self) -> bool:
        """Whether the caller has reported it."""
        found = report_rows.reported_by(self.request.db, self.request.actor.user_id, "message", [self.row.message_id])
        return bool(found)

    @property
    def __acl__(self) -> ACL:  # type: ignore[override]
        sender, receiver = self.row.sender_id, self.row.receiver_id
        return [
            *((Allow, reader(user_id), (Permission.MESSAGE_READ,)) for user_id in (sender, receiver)),
            (Allow, owner(receiver), (Permission.MESSAGE_MARK,)),
        ]


class MessagesContext(Context):
    """``/api/messages``; ``page`` is the profile, listing or conversation where writing is offered."""

    __acl__ = [(Allow, CUSTOMER, (Permission.MESSAGE_SEND,))]
    page: Any = None

    @classmethod
    def seen_from(cls, page: Any, path: str) -> MessagesContext:
        context = cls(page.request, page, "messages")
        context.path, context.page = path, page
        if isinstance(page, ListingContext):
            context.fill(receiver_id=page.row.user_id, listing_id=page.row.listing_id)
        elif isinstance(page, ConversationContext):
            context.fill(conversation_id=page.row.conversation_id)
        else:
            context.fill(receiver_id=page.person_id)
        return context

    def fill(self, **known: int | None) -> None:
        """Settle to whom and about what is written."""
        self.fills = {name: known.get(name) for name in ("receiver_id", "conversation_id", "listing_id")}

    @reify
    def is_open(self) -> bool:
        """Whether what is settled can be sent; what a body alone says is for the domain to decide."""
        if self.page is not None:
            return bool(self.page.can_message)
        actor, receiver, listing = self.request.actor, self.fills.get("receiver_id"), self.fills.get("listing_id")
        row = listing_rows.find(self.request.db, listing) if listing is not None else None
        if listing is not None and (row is None or not policy.may_mention(row, actor)):
            return False
        return receiver is None or receiver in policy.reachable(self.request.db, actor, [receiver])

    def __getitem__(self, name: str) -> Context:
        row = queries.find_message(
            self.request.db, identifier(name), known_caller(self.request, "messages belong to an account")
        )
        if row is None:
            raise KeyError(name)
        return MessageContext(self.request, self, name, row)

    def child(self, row: Any) -> MessageContext:
        """The context of a message whose row is already known."""
        return MessageContext(self.request, self, str(row.message_id), row)


class BlocksContext(Context):
    """``/api/users/me/blocks``; ``page`` is the profile or conversation where blocking is offered."""

    __acl__ = [(Allow, Authenticated, (Permission.BLOCK_READ,)), (Allow, CUSTOMER, (Permission.BLOCK_ADD,))]
    page: Any = None

    @classmethod
    def seen_from(cls, page: Any, path: str) -> BlocksContext:
        context = cls(page.request, page, "blocks")
        context.path, context.page = path, page
        context.fills = {"user_id": page.person_id}
        return context

    def __getitem__(self, name: str) -> Context:
        context = BlockContext(
            self.request, self, name, known_caller(self.request, "blocks belong to an account"), identifier(name)
        )
        if context.row is None:
            raise KeyError(name)
        return context


class BlockContext(Context):
    """The caller's block of one person; the tree only holds those that are there."""

    conceal = True
    read_permission = Permission.BLOCK_READ

    def __init__(
        self, request: Request, parent: Context | None, name: str, user_id: int | None, blocked_id: int
    ) -> None:
        super().__init__(request, parent, name)
        self.path = f"{BLOCKS}/{blocked_id}"
        self.user_id, self.blocked_id = user_id, blocked_id

    @classmethod
    def seen_from(cls, page: Any, path: str) -> BlockContext:
        context = cls(page.request, page, str(page.person_id), page.request.actor.user_id, page.person_id)
        context.path = path.replace("{user_id}", str(page.person_id))
        context.is_there = page.is_blocked
        return context

    @reify
    def row(self) -> Any:
        """The block with the name of who is blocked."""
        return blocks.find(self.request.db, self.user_id or 0, self.blocked_id)

    @reify
    def is_there(self) -> bool:
        return self.row is not None

    @property
    def __acl__(self) -> ACL:  # type: ignore[override]
        if self.user_id is None:
            return []
        return [
            (Allow, reader(self.user_id), (Permission.BLOCK_READ,)),
            (Allow, owner(self.user_id), (Permission.BLOCK_REMOVE,)),
        ]
