"""What the links of mails show."""

from __future__ import annotations

from marketplace_api.hal.registry import represents
from marketplace_api.hal.representation import Representation, link
from marketplace_api.resources.outbound.mail import EmailUndoContext, SubscriptionContext


@represents(SubscriptionContext)
def subscription(context: SubscriptionContext) -> Representation:
    """Which e-mails the link is about; not whose."""
    found = context.subscription
    state = {"type": found.type, "label": found.label, "channel": "email"}
    preferences = link("/api/users/me/notification-preferences")
    links = {"self": link(context.path), "mkt:notification-preferences": preferences, "up": link("/api")}
    return Representation(state, links, context=context)


@represents(EmailUndoContext)
def email_undo(context: EmailUndoContext) -> Representation:
    """Until when the link works; not whose it is, nor which addresses."""
    links = {"self": link(context.path), "up": link("/api")}
    return Representation({"expires_at": context.expires_at}, links, context=context)
