"""The link to write to somebody, which pages of several contexts have."""

from __future__ import annotations

from urllib.parse import urlencode

from marketplace_api.hal.registry import adds_links
from marketplace_api.hal.representation import Links, link
from marketplace_api.resources.base import Context
from marketplace_api.resources.catalog.listings import ListingContext
from marketplace_api.resources.community.conversations import ConversationContext, MessagesContext
from marketplace_api.resources.identity.accounts import UserContext
from marketplace_api.security.permissions import Permission
from marketplace_api.security.policy import may

MESSAGES = "/api/messages"


@adds_links(UserContext, ListingContext)
def message_link(page: Context) -> Links:
    """Where the caller may write to the person that ``page`` shows; empty where they may not."""
    if page.request.actor.user_id is None:
        return {}  # no ACL lets the unknown write; to find that out from all of them is 4 % of reading a listing
    context = MessagesContext.seen_from(page, MESSAGES)
    if not (may(page.request.actor, context, Permission.MESSAGE_SEND) and context.is_open):
        return {}
    return {"mkt:message": link(prepared(context), title="Write a message")}


def prepared(context: MessagesContext) -> str:
    """The address of the form for what ``context`` has settled."""
    if isinstance(context.page, ConversationContext):
        return f"{MESSAGES}?receiver_id={context.page.person_id}"
    known = {name: value for name, value in context.fills.items() if value is not None and name != "conversation_id"}
    return f"{MESSAGES}?{urlencode(known)}" if known else MESSAGES
