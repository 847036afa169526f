"""Webhooks and their deliveries as they go out."""

from __future__ import annotations

from typing import Any

from pyramid.request import Request

from marketplace_api.domain.kernel.paging import Page
from marketplace_api.hal.paging import collection
from marketplace_api.hal.registry import represents
from marketplace_api.hal.representation import HAL_FORMS, Links, Representation, link
from marketplace_api.resources.outbound.webhooks import (
    DeliveriesContext,
    DeliveryContext,
    WebhookContext,
    WebhooksContext,
)

WEBHOOKS = "/api/admin/webhooks"


@represents(WebhookContext)
def webhook(context: WebhookContext, *, secret: str | None = None) -> Representation:
    """One endpoint; with its ``secret`` only where that was just made."""
    shown = _webhook(context.row, context)
    if secret is not None:
        shown.state["secret"] = secret
    shown.version, shown.last_modified = context.row.version, context.row.date_updated
    return shown


def webhooks(request: Request, page: Page, context: WebhooksContext) -> Representation:
    """One part of the endpoints."""
    with_forms = request.media == HAL_FORMS
    items = [_webhook(row, context.child(row) if with_forms else None) for row in page.items]
    shown = collection(request, "webhooks", items, page, WEBHOOKS, context=context)
    shown.links["up"] = link("/api")
    return shown


@represents(DeliveryContext)
def delivery(context: DeliveryContext) -> Representation:
    """One delivery."""
    return _delivery(context.row, context)


def deliveries(request: Request, page: Page, context: DeliveriesContext, endpoint: Any) -> Representation:
    """One part of an endpoint's deliveries."""
    with_forms = request.media == HAL_FORMS
    items = [
        _delivery(row, DeliveryContext(request, context, str(row.delivery_id), row, endpoint) if with_forms else None)
        for row in page.items
    ]
    shown = collection(request, "deliveries", items, page, context.path, context=context)
    shown.links["up"] = link(f"{WEBHOOKS}/{endpoint.endpoint_id}")
    return shown


def _webhook(row: Any, context: WebhookContext | None) -> Representation:
    state = {
        "endpoint_id": row.endpoint_id,
        "url": row.url,
        "description": row.description,
        "event_types": list(row.event_types),
        "status": row.status,
        "disabled_reason": row.disabled_reason,
        "failures": row.failures,
        "failing_since": row.failing_since,
        "previous_secret_until": row.previous_until,
        "date_created": row.date_created,
        "date_updated": row.date_updated,
    }
    own = f"{WEBHOOKS}/{row.endpoint_id}"
    links: Links = {
        "self": link(own),
        "collection": link(WEBHOOKS),
        "mkt:deliveries": link(f"{own}/deliveries", title="Deliveries"),
    }
    return Representation(state, links, context=context)


def _delivery(row: Any, context: DeliveryContext | None) -> Representation:
    state = {
        "delivery_id": row.delivery_id,
        "endpoint_id": row.endpoint_id,
        "event_id": row.event_id,
        "type": row.type,
        "kind": row.kind,
        "status": row.status,
        "attempts": row.attempts,
        "response_status": row.response_status,
        "response_body": row.response_body,
        "problem": row.problem,
        "next_attempt_at": row.next_attempt_at,
        "date_created": row.date_created,
        "date_finished": row.date_finished,
    }
    endpoint = f"{WEBHOOKS}/{row.endpoint_id}"
    links: Links = {
        "self": link(f"{endpoint}/deliveries/{row.delivery_id}"),
        "collection": link(f"{endpoint}/deliveries"),
        "mkt:webhook": link(endpoint),
        "mkt:event": link(f"/api/audit/{row.event_id}"),
    }
    return Representation(state, links, context=context)
