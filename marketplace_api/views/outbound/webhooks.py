"""Webhooks: making and looking after endpoints, and what became of deliveries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyramid.request import Request

from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.outbound.webhooks import endpoints, queries
from marketplace_api.hal.outbound import webhooks as represent
from marketplace_api.hal.representation import Representation, message
from marketplace_api.resources.outbound.webhooks import (
    DeliveriesContext,
    DeliveryContext,
    WebhookContext,
    WebhooksContext,
)
from marketplace_api.schemas.outbound import webhooks as schemas
from marketplace_api.security.permissions import Permission as P
from marketplace_api.views.negotiation import expected_version, page_request
from marketplace_api.views.service import Service

WEBHOOKS = "/api/admin/webhooks"
ONE = f"{WEBHOOKS}/{{endpoint_id}}"
DELIVERY = f"{ONE}/deliveries/{{delivery_id}}"
collection = Service("webhooks", WEBHOOKS, WebhooksContext)
item = Service("webhook", ONE, WebhookContext)
rotation = Service("webhook-rotate-secret", f"{ONE}/rotate-secret", WebhookContext, on=ONE)
enabling = Service("webhook-enable", f"{ONE}/enable", WebhookContext, on=ONE)
disabling = Service("webhook-disable", f"{ONE}/disable", WebhookContext, on=ONE)
testing = Service("webhook-test", f"{ONE}/test", WebhookContext, on=ONE)
deliveries = Service("webhook-deliveries", f"{ONE}/deliveries", DeliveriesContext)
delivery = Service("webhook-delivery", DELIVERY, DeliveryContext)
resending = Service("webhook-resend", f"{DELIVERY}/resend", DeliveryContext, on=DELIVERY)


def _possible(step: str) -> Callable[[WebhookContext, Actor], bool]:
    return lambda context, _actor: endpoints.possible(context.row.status, step)


@collection.operation(
    "GET", "webhooks", P.WEBHOOK_READ, title="Webhooks", query=schemas.ListWebhooks, result="webhooks"
)
def find(request: Request) -> Representation:
    return represent.webhooks(request, queries.list_page(request.db, page_request(request.query)), request.context)


@collection.operation(
    "POST",
    "make-webhook",
    P.WEBHOOK_MANAGE,
    title="Make a webhook",
    body=schemas.MakeWebhook,
    success=201,
    result="webhook",
    description="It is told of what is recorded from now on. The answer has the secret, which is not shown again.",
)
def make(request: Request) -> Representation:
    made = endpoints.create(request.db, request.actor, request.registry.app_settings, **request.validated)
    return represent.webhook(request.context.child(made.row), secret=made.secret)


@item.operation("GET", "read-webhook", P.WEBHOOK_READ, title="Read a webhook", result="webhook")
def read(request: Request) -> Representation:
    return represent.webhook(request.context)


@item.operation("PUT", "edit", P.WEBHOOK_MANAGE, title="Edit the webhook", body=schemas.EditWebhook, result="webhook")
def replace(request: Request) -> Representation:
    return _edited(request)


@item.operation("PATCH", "edit", P.WEBHOOK_MANAGE, title="Edit the webhook", body=schemas.EditWebhook, result="webhook")
def patch(request: Request) -> Representation:
    return _edited(request)


def _edited(request: Request) -> Representation:
    row = endpoints.edit(
        request.db,
        request.actor,
        request.registry.app_settings,
        request.context.row.endpoint_id,
        changes=request.validated,
        expected_version=expected_version(request),
    )
    return represent.webhook(request.context.with_row(row))


@item.operation(
    "DELETE",
    "delete",
    P.WEBHOOK_MANAGE,
    title="Delete the webhook",
    result="message",
    description="What waits is not sent any more, and what is known of deliveries goes with it.",
)
def delete(request: Request) -> Representation:
    endpoint_id = request.context.row.endpoint_id
    endpoints.delete(request.db, request.actor, endpoint_id, expected_version=expected_version(request))
    return message("Webhook deleted", WEBHOOKS)


@rotation.operation(
    "POST",
    "rotate-secret",
    P.WEBHOOK_MANAGE,
    title="Make a new secret",
    result="webhook",
    description="The answer has it. For 24 hours what is sent is signed with the old one as well.",
)
def rotate_secret(request: Request) -> Representation:
    endpoint_id = request.context.row.endpoint_id
    made = endpoints.rotate_secret(request.db, request.actor, request.registry.app_settings, endpoint_id)
    return represent.webhook(request.context.with_row(made.row), secret=made.secret)


@enabling.operation(
    "POST",
    "enable",
    P.WEBHOOK_MANAGE,
    title="Enable",
    applies=_possible("enable"),
    result="webhook",
    description="It is told of what is recorded from now on, and of what was waiting.",
)
def enable(request: Request) -> Representation:
    endpoint_id = request.context.row.endpoint_id
    row = endpoints.enable(request.db, request.actor, endpoint_id, expected_version=expected_version(request))
    return represent.webhook(request.context.with_row(row))


@disabling.operation(
    "POST",
    "disable",
    P.WEBHOOK_MANAGE,
    title="Disable",
    applies=_possible("disable"),
    result="webhook",
    description="It is told of nothing until it is enabled; what is recorded meanwhile it is never told of.",
)
def disable(request: Request) -> Representation:
    endpoint_id = request.context.row.endpoint_id
    row = endpoints.disable(request.db, request.actor, endpoint_id, expected_version=expected_version(request))
    return represent.webhook(request.context.with_row(row))


@testing.operation(
    "POST",
    "test",
    P.WEBHOOK_MANAGE,
    title="Send a test",
    applies=_possible("test"),
    success=201,
    result="delivery",
    description="An event of the type `webhook.tested`, to this endpoint alone. The answer is the delivery.",
)
def test(request: Request) -> Representation:
    row = request.context.row
    delivery_id = endpoints.test(request.db, request.actor, row.endpoint_id)
    return _sent(request, row, delivery_id)


@deliveries.operation(
    "GET",
    "deliveries",
    P.WEBHOOK_READ,
    title="Deliveries",
    query=schemas.ListDeliveries,
    result="deliveries",
    description="What the endpoint was told in the last 30 days, newest first.",
)
def list_deliveries(request: Request) -> Representation:
    endpoint = request.context.__parent__.row
    wanted = queries.Criteria(status=request.query["status"], type=request.query["type"])
    page = queries.deliveries(request.db, endpoint.endpoint_id, wanted, page_request(request.query))
    return represent.deliveries(request, page, request.context, endpoint)


@delivery.operation("GET", "read-delivery", P.WEBHOOK_READ, title="Read a delivery", result="delivery")
def read_delivery(request: Request) -> Representation:
    return represent.delivery(request.context)


def _can_resend(context: DeliveryContext, _actor: Actor) -> bool:
    return endpoints.possible(context.endpoint.status, "resend")


@resending.operation(
    "POST",
    "resend",
    P.WEBHOOK_MANAGE,
    title="Send again",
    applies=_can_resend,
    success=201,
    result="delivery",
    description="The same event as a delivery of its own, with another id. The answer is the new delivery.",
)
def resend(request: Request) -> Representation:
    context = request.context
    delivery_id = endpoints.resend(request.db, request.actor, context.endpoint.endpoint_id, context.row.delivery_id)
    return _sent(request, context.endpoint, delivery_id)


def _sent(request: Request, endpoint: Any, delivery_id: int) -> Representation:
    row = queries.find_delivery(request.db, endpoint.endpoint_id, delivery_id)
    return represent.delivery(DeliveryContext(request, request.context, str(delivery_id), row, endpoint))
