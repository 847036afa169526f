"""What the links in mails do: unsubscribing, undoing a change of address; and mails that came back."""

from __future__ import annotations

from pyramid.request import Request
from pyramid.response import Response

from marketplace_api.domain.identity.accounts import email_bounces
from marketplace_api.domain.identity.accounts import email_undo as account_email_undo
from marketplace_api.domain.outbound.notifications import unsubscribe as notification_unsubscribe
from marketplace_api.errors import Unauthenticated
from marketplace_api.gateways.email.templates import service_of
from marketplace_api.hal.outbound import mail as represent
from marketplace_api.hal.representation import JSON, Representation, message
from marketplace_api.resources.outbound.mail import EmailBouncesContext, EmailUndoContext, SubscriptionContext
from marketplace_api.schemas.outbound import mail as schemas
from marketplace_api.schemas.uploads import MULTIPART
from marketplace_api.security.permissions import Permission as P
from marketplace_api.views.html_pages import page
from marketplace_api.views.negotiation import FORM, HTML
from marketplace_api.views.service import Service

SIGNATURE = "X-Signature"
subscription = Service("unsubscribe", "/unsubscribe/{token}", SubscriptionContext)
undoing = Service("undo-email-change", "/undo-email-change/{token}", EmailUndoContext, limits="auth")
bounces = Service("email-bounces", "/hooks/email-bounces", EmailBouncesContext)


@subscription.operation(
    "GET",
    "read-subscription",
    P.EMAIL_UNSUBSCRIBE,
    title="Which e-mails a link is about",
    result="email_subscription",
    description="The link stands in the e-mail; to look at it changes nothing. Browsers get a page with a button.",
    has_page=True,
)
def read(request: Request) -> Representation | Response:
    if request.media == HTML:
        return _page(request, is_done=False)
    return represent.subscription(request.context)


@subscription.operation(
    "POST",
    "unsubscribe",
    P.EMAIL_UNSUBSCRIBE,
    title="Have no more of these e-mails",
    body=schemas.Unsubscribe,
    content_types=(JSON, FORM, MULTIPART),
    result="message",
    description="Needs no log-in, and may be done again. What it switches off can be switched on in the preferences.",
    has_page=True,
)
def unsubscribe(request: Request) -> Representation | Response:
    notification_unsubscribe.unsubscribe(request.db, request.actor, request.context.subscription)
    if request.media == HTML:
        return _page(request, is_done=True)
    return message("Unsubscribed", "/api/users/me/notification-preferences")


def _page(request: Request, *, is_done: bool) -> Response:
    settings = request.registry.app_settings
    return page(
        "unsubscribe",
        service=service_of(settings.email_from),
        label=request.context.subscription.label,
        is_done=is_done,
        preferences=settings.page_of(notification_unsubscribe.PREFERENCES),
    )


@undoing.operation(
    "GET",
    "read-email-undo",
    P.EMAIL_UNDO,
    title="Until when a change of address can be undone",
    result="email_undo",
    description="The link is sent to the former address; to look at it changes nothing. Browsers get a page with a button.",
    has_page=True,
)
def read_undo(request: Request) -> Representation | Response:
    if request.media == HTML:
        return _undo_page(request, is_done=False)
    return represent.email_undo(request.context)


@undoing.operation(
    "POST",
    "undo-email-change",
    P.EMAIL_UNDO,
    title="Give the account its former e-mail address back",
    body=schemas.UndoEmailChange,
    content_types=(JSON, FORM),
    result="message",
    description="Needs no log-in, and works once. All sessions end, the password is void, and a mail to the former address"
    " has the link that sets a new one.",
    has_page=True,
)
def undo_email_change(request: Request) -> Representation | Response:
    rules = request.registry.account_rules
    account_email_undo.undo(request.db, rules, token=request.context.token, actor=request.actor)
    if request.media == HTML:
        return _undo_page(request, is_done=True)
    return message("E-mail address restored; a mail with a link to set a password is on its way", "/api")


def _undo_page(request: Request, *, is_done: bool) -> Response:
    return page("undo_email_change", service=service_of(request.registry.app_settings.email_from), is_done=is_done)


@bounces.operation(
    "POST",
    "report-bounce",
    P.BOUNCE_REPORT,
    title="Report a mail that came back",
    body=schemas.ReportBounce,
    result="message",
    errors=(401,),
    description="For those who carry the mail. `X-Signature` is `sha256=` and the hex digits of HMAC-SHA256 of the body"
    " under the secret of the settings; without one there, the hook is not there.",
)
def report_bounce(request: Request) -> Representation:
    secret = request.registry.app_settings.email_bounce_secret
    if not email_bounces.is_signed(secret, request.raw_body, request.headers.get(SIGNATURE, "")):
        raise Unauthenticated(f"{SIGNATURE} is missing or not that of this body.")
    email_bounces.note(request.db, request.actor, **request.validated)
    return message("Noted", "/api")
