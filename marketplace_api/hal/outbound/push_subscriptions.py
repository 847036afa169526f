"""The caller's browsers that take notifications, as they go out: without their keys."""

from __future__ import annotations

from typing import Any

from pyramid.request import Request

from marketplace_api.domain.kernel.paging import Page
from marketplace_api.hal.paging import collection
from marketplace_api.hal.registry import represents
from marketplace_api.hal.representation import HAL_FORMS, Representation, link
from marketplace_api.resources.outbound.push_subscriptions import (
    SUBSCRIPTIONS,
    PushSubscriptionContext,
    PushSubscriptionsContext,
)


@represents(PushSubscriptionContext)
def subscription(context: PushSubscriptionContext, *, was_there: bool = False) -> Representation:
    """One browser."""
    shown = _subscription(context.row, context.request)
    shown.context, shown.is_repeat = context, was_there
    return shown


def subscriptions(request: Request, page: Page, context: PushSubscriptionsContext) -> Representation:
    """One page of the caller's browsers, and the key that further ones subscribe with."""
    with_forms = request.media == HAL_FORMS
    items = []
    for row in page.items:
        items.append(_subscription(row, request))
        items[-1].context = context.child(row) if with_forms else None
    extra = {"vapid_public_key": context.public_key}
    shown = collection(request, "subscriptions", items, page, SUBSCRIPTIONS, context=context, extra=extra)
    shown.links["up"] = link("/api/users/me")
    return shown


def _subscription(row: Any, request: Request) -> Representation:
    state = {
        "subscription_id": row.subscription_id,
        "endpoint": row.endpoint,
        "device": row.device,
        "current": row.session_id == request.actor.session_id,
        "date_created": row.date_created,
        "last_used": row.last_used,
    }
    path = f"{SUBSCRIPTIONS}/{row.subscription_id}"
    return Representation(state, {"self": link(path), "collection": link(SUBSCRIPTIONS)})
