"""``/api/moderation``: what waits for moderators."""

from __future__ import annotations

from pyramid.authorization import Allow

from marketplace_api.resources.base import Branch, Context
from marketplace_api.resources.trust.moderated_messages import ModeratedMessagesContext
from marketplace_api.resources.trust.reports import ReportQueueContext
from marketplace_api.resources.trust.verifications import VerificationsContext
from marketplace_api.security.permissions import Permission
from marketplace_api.security.principals import MODERATOR


class WaitingListingsContext(Context):
    """``/api/moderation/listings``."""

    __acl__ = [(Allow, MODERATOR, (Permission.MODERATION_READ,))]


class ModerationContext(Branch):
    """``/api/moderation``: the queues."""

    __acl__ = [(Allow, MODERATOR, (Permission.MODERATION_READ,))]
    children = {
        "reports": ReportQueueContext,
        "verifications": VerificationsContext,
        "listings": WaitingListingsContext,
        "messages": ModeratedMessagesContext,
    }
