"""What mails and those who carry them lead to: ``/unsubscribe``, ``/undo-email-change`` and ``/hooks``."""

from __future__ import annotations

from datetime import datetime

from pyramid.request import Request

from marketplace_api.domain.identity.accounts import email_undo
from marketplace_api.domain.outbound.notifications import unsubscribe
from marketplace_api.domain.outbound.notifications.unsubscribe import Subscription
from marketplace_api.errors import NotFound
from marketplace_api.resources.base import Context, everyone
from marketplace_api.security.permissions import Permission as P


class SubscriptionContext(Context):
    """``/unsubscribe/{token}``: whoever has the mail may have no more of them."""

    __acl__ = everyone(P.EMAIL_UNSUBSCRIBE)

    def __init__(self, request: Request, parent: Context | None, name: str, subscription: Subscription) -> None:
        super().__init__(request, parent, name)
        self.subscription = subscription


class SubscriptionsContext(Context):
    """``/unsubscribe``."""

    def __getitem__(self, name: str) -> Context:
        found = unsubscribe.find(self.request.registry.app_settings.secret, name)
        if found is None:
            raise NotFound("This link is none of ours, or a part of it is missing: open it once more from the e-mail.")
        return SubscriptionContext(self.request, self, name, found)


class EmailUndoContext(Context):
    """``/undo-email-change/{token}``: whoever has the mail to the former address may have it back."""

    __acl__ = everyone(P.EMAIL_UNDO)

    def __init__(self, request: Request, parent: Context | None, name: str, expires_at: datetime) -> None:
        super().__init__(request, parent, name)
        self.token, self.expires_at = name, expires_at


class EmailUndosContext(Context):
    """``/undo-email-change``."""

    def __getitem__(self, name: str) -> Context:
        return EmailUndoContext(self.request, self, name, email_undo.find(self.request.registry.databases, name))


class EmailBouncesContext(Context):
    """``/hooks/email-bounces``: who signs what they send is believed."""

    __acl__ = everyone(P.BOUNCE_REPORT)


class HooksContext(Context):
    """``/hooks``: each is there only if it was set up."""

    def __getitem__(self, name: str) -> Context:
        if name != "email-bounces" or not self.request.registry.app_settings.email_bounce_secret:
            raise KeyError(name)
        return EmailBouncesContext(self.request, self, name)
