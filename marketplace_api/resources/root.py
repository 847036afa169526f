"""The root of the tree and its plain branches."""

from __future__ import annotations

from pyramid.authorization import Allow
from pyramid.request import Request

from marketplace_api.resources.base import ACL, Branch, Context, everyone
from marketplace_api.resources.catalog.bookmarks import BookmarksContext
from marketplace_api.resources.catalog.listings import ListingsContext
from marketplace_api.resources.community.conversations import BlocksContext, ConversationsContext, MessagesContext
from marketplace_api.resources.community.reviews import ReviewsContext
from marketplace_api.resources.eventlog.audit import AuditContext
from marketplace_api.resources.eventlog.feed import FeedContext
from marketplace_api.resources.eventlog.stream_tickets import StreamContext
from marketplace_api.resources.identity.account_admin import AccountsContext
from marketplace_api.resources.identity.accounts import AuthContext, MeContext, UsersContext
from marketplace_api.resources.identity.api_keys import ApiKeysContext
from marketplace_api.resources.media.files import FilesContext
from marketplace_api.resources.outbound.mail import EmailUndosContext, HooksContext, SubscriptionsContext
from marketplace_api.resources.outbound.notifications import NotificationPreferencesContext, NotificationsContext
from marketplace_api.resources.outbound.phones import PhoneContext
from marketplace_api.resources.outbound.push_subscriptions import PushSubscriptionsContext
from marketplace_api.resources.outbound.webhooks import WebhooksContext
from marketplace_api.resources.trust.moderation import ModerationContext
from marketplace_api.resources.trust.reports import ReportsContext
from marketplace_api.resources.trust.verifications import OwnVerificationContext
from marketplace_api.security.permissions import Permission
from marketplace_api.security.principals import ADMIN, MONITOR

LOOPBACK = frozenset({"127.0.0.1", "::1"})

MeContext.children.update(
    {
        "bookmarks": BookmarksContext,
        "blocks": BlocksContext,
        "verification": OwnVerificationContext,
        "notification-preferences": NotificationPreferencesContext,
        "phone": PhoneContext,
        "push-subscriptions": PushSubscriptionsContext,
    }
)


class CategoriesContext(Context):
    """``/api/categories``."""

    __acl__ = everyone(Permission.CATEGORY_READ)


class SuggestionsContext(Context):
    """``/api/search/suggestions``."""

    __acl__ = everyone(Permission.LISTING_SEARCH)


class SearchContext(Branch):
    children = {"suggestions": SuggestionsContext}


class AdminContext(Branch):
    """``/api/admin``: what belongs to those who look after the marketplace."""

    children = {"users": AccountsContext, "api-keys": ApiKeysContext, "webhooks": WebhooksContext}


class ApiContext(Branch):
    """``/api``: the entry point; descriptions of errors, relations and the API itself hang on it."""

    __acl__ = everyone(Permission.API_READ)
    children = {
        "auth": AuthContext,
        "users": UsersContext,
        "listings": ListingsContext,
        "categories": CategoriesContext,
        "search": SearchContext,
        "reviews": ReviewsContext,
        "conversations": ConversationsContext,
        "messages": MessagesContext,
        "reports": ReportsContext,
        "moderation": ModerationContext,
        "admin": AdminContext,
        "audit": AuditContext,
        "events": FeedContext,
        "notifications": NotificationsContext,
        "stream": StreamContext,
    }


class Root(Branch):
    """``/``: the service itself."""

    children = {
        "api": ApiContext,
        "files": FilesContext,
        "unsubscribe": SubscriptionsContext,
        "undo-email-change": EmailUndosContext,
        "hooks": HooksContext,
    }

    @property
    def __acl__(self) -> ACL:  # type: ignore[override]
        grants: ACL = [
            *everyone(Permission.API_READ, Permission.SMS_REPORT),
            (Allow, MONITOR, (Permission.METRICS_READ,)),
            (Allow, ADMIN, (Permission.METRICS_READ,)),
        ]
        settings = self.request.registry.app_settings
        if not settings.production and not settings.metrics_token and self.request.address in LOOPBACK:
            grants += everyone(Permission.METRICS_READ)
        return grants


def root_factory(request: Request) -> Root:
    return Root(request, None, "")
