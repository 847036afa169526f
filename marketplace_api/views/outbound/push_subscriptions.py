"""The caller's browsers that take notifications by web push."""

from __future__ import annotations

from pyramid.request import Request

from marketplace_api.characters import visible
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.outbound.push_subscriptions import queries, subscriptions
from marketplace_api.domain.outbound.push_subscriptions.subscriptions import Browser
from marketplace_api.errors import FieldError, Invalid
from marketplace_api.gateways.ssrf import OutboundRefused, check_url
from marketplace_api.hal.outbound import push_subscriptions as represent
from marketplace_api.hal.representation import Representation, message
from marketplace_api.resources.outbound.push_subscriptions import (
    SUBSCRIPTIONS,
    PushSubscriptionContext,
    PushSubscriptionsContext,
)
from marketplace_api.schemas.outbound import push_subscriptions as schemas
from marketplace_api.security.permissions import Permission as P
from marketplace_api.views.negotiation import page_request
from marketplace_api.views.service import Service

collection = Service("push-subscriptions", SUBSCRIPTIONS, PushSubscriptionsContext)
item = Service("push-subscription", f"{SUBSCRIPTIONS}/{{subscription_id}}", PushSubscriptionContext)


def _pushes(context: PushSubscriptionsContext, _actor: Actor) -> bool:
    return context.public_key is not None


@collection.operation(
    "GET",
    "list-push-subscriptions",
    P.PUSH_READ,
    title="Your browsers that take notifications",
    query=schemas.ListSubscriptions,
    result="push_subscriptions",
)
def find(request: Request) -> Representation:
    page = queries.list_page(request.db, request.actor.user_id, page_request(request.query))
    return represent.subscriptions(request, page, request.context)


@collection.operation(
    "POST",
    "subscribe",
    P.PUSH_KEEP,
    title="Take notifications in this browser",
    body=schemas.Subscribe,
    success=201,
    again=200,
    applies=_pushes,
    result="push_subscription",
    errors=(501,),
    description="What `PushSubscription.toJSON()` gives. It ends with the session; of more than ten the oldest gives way.",
)
def add(request: Request) -> Representation:
    body = request.validated
    _require_allowed(request, body["endpoint"])
    keys, device = body["keys"], visible(request.user_agent or "")[:255]
    browser = Browser(body["endpoint"], keys["p256dh"], keys["auth"], device)
    row, was_there = subscriptions.subscribe(request.db, request.actor, browser)
    return represent.subscription(request.context.child(row), was_there=was_there)


def _require_allowed(request: Request, endpoint: str) -> None:
    """Which addresses a name has is asked each time that something is sent."""
    try:
        check_url(request.registry.app_settings, endpoint)
    except OutboundRefused as refused:
        problem = FieldError("body", "endpoint", "not_allowed", str(refused))
        raise Invalid(f"endpoint: {refused}", errors=[problem]) from refused


@item.operation("GET", "read-push-subscription", P.PUSH_READ, title="One of your browsers", result="push_subscription")
def read(request: Request) -> Representation:
    return represent.subscription(request.context)


@item.operation("DELETE", "unsubscribe", P.PUSH_KEEP, title="Send it nothing more", result="message")
def remove(request: Request) -> Representation:
    subscriptions.unsubscribe(request.db, request.actor, request.context.row.subscription_id)
    return message("Push subscription removed", SUBSCRIPTIONS)
