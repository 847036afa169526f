"""Webhooks over HTTP: an admin makes one, looks after it and what it was told; nobody else learns of any."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.hal import affordances
from marketplace_api.models.kernel.events import Event
from marketplace_api.models.outbound.webhooks import WebhookDelivery, WebhookEndpoint
from marketplace_api.resources.outbound.webhooks import DeliveryContext, WebhookContext, WebhooksContext
from tests.factories.accounts import People
from tests.factories.webhooks import make_webhook
from tests.functional.test_shown_is_allowed import REFUSED, undone
from tests.support.client import HAL_FORMS
from tests.support.sql_recorder import recorded

WEBHOOKS = "/api/admin/webhooks"
HOOK = {"url": "https://receiver.example/hook?key=1", "event_types": ["listing.*"]}


def errors(response: Any) -> set[tuple[str, str]]:
    return {(error["name"], error["code"]) for error in response.json["errors"]}


def test_from_the_entry_to_a_delivery_that_is_sent_again(db: Session, people: People) -> None:
    admin = people.admin()
    path = admin.get("/api").json["_links"]["mkt:webhooks"]["href"]
    made = admin.post(path, HOOK)
    assert (made.status_int, made.json["status"]) == (201, "enabled")
    assert made.json["secret"].startswith("whsec_")
    one = made.headers["Location"]
    read = admin.get(one)
    assert "secret" not in read.json
    assert [each["url"] for each in admin.get(path).json["webhooks"]] == [HOOK["url"]]

    edited = admin.request(
        "PATCH", one, {"event_types": ["review.posted", "*"]}, headers={"If-Match": read.headers["ETag"]}
    )
    assert edited.json["event_types"] == ["*", "review.posted"]
    stale = admin.request("PUT", one, {"description": "x"}, headers={"If-Match": read.headers["ETag"]})
    assert stale.status_int == 412
    rotated = admin.post(f"{one}/rotate-secret").json
    assert rotated["secret"] != made.json["secret"]
    assert rotated["previous_secret_until"] is not None

    tested = admin.post(f"{one}/test")
    assert (tested.status_int, tested.json["kind"], tested.json["status"]) == (201, "test", "waiting")
    delivery = tested.headers["Location"]
    again = admin.post(f"{delivery}/resend")
    assert (again.status_int, again.json["kind"], again.json["event_id"]) == (201, "resend", tested.json["event_id"])
    assert again.json["delivery_id"] != tested.json["delivery_id"]
    listed = admin.get(f"{one}/deliveries?limit=1")
    assert [each["delivery_id"] for each in listed.json["deliveries"]] == [again.json["delivery_id"]]
    following = admin.get(listed.json["_links"]["next"]["href"])
    assert [each["delivery_id"] for each in following.json["deliveries"]] == [tested.json["delivery_id"]]
    assert admin.get(f"{one}/deliveries?status=failed").json["totalItems"] == 0
    assert admin.get(f"{one}/deliveries?type=webhook.tested").json["totalItems"] == 2

    assert admin.post(f"{one}/disable").json["disabled_reason"] == "by_hand"
    refused = admin.post(f"{delivery}/resend")
    assert (refused.status_int, refused.json["code"], refused.json["state"]) == (409, "wrong_state", "disabled")
    assert admin.post(f"{one}/enable").json["status"] == "enabled"
    assert admin.delete(one).json["message"] == "Webhook deleted"
    assert admin.get(one).status_int == admin.get(delivery).status_int == 404
    about = sa.select(Event.type, Event.previous, Event.new).where(Event.subject_type == "webhook")
    log = db.execute(about.order_by(Event.event_id)).all()
    assert [row.type.partition(".")[2] for row in log] == [
        "created",
        "edited",
        "secret_rotated",
        "tested",
        "resent",
        "disabled",
        "enabled",
        "deleted",
    ]
    assert "receiver.example" not in repr(log), "an address may hold a password"


def test_what_is_refused(people: People, db: Session) -> None:
    admin = people.admin()
    for url, code in (
        ("http://169.254.169.254/latest", "address_refused"),
        ("http://localhost/", "address_refused"),
        ("http://[::1]/", "invalid"),
        ("ftp://receiver.example/", "invalid"),
        ("https://u:p@receiver.example/", "invalid"),
    ):
        refused = admin.post(WEBHOOKS, {**HOOK, "url": url})
        assert refused.status_int == 400
        ((name, found),) = errors(refused)
        assert name == "url"
        assert code != "address_refused" or found == code, url
    for types in ([], ["listing"], ["listing.sold"], ["*.created"]):
        assert admin.post(WEBHOOKS, {**HOOK, "event_types": types}).status_int == 400
    for _ in range(50):
        make_webhook(db)
    db.commit()
    full = admin.post(WEBHOOKS, HOOK)
    assert (full.status_int, full.json["code"]) == (409, "too_many_webhooks")


def test_a_page_of_deliveries_costs_the_same_whatever_its_size(db: Session, people: People) -> None:
    admin, endpoint = people.admin(), make_webhook(db)
    db.execute(
        sa.text(
            "INSERT INTO webhook_deliveries (endpoint_id, event_id, type, status, next_attempt_at, date_finished) "
            "SELECT :id, n, 'listing.edited', 'delivered', NULL, now() FROM generate_series(1, 200) AS n"
        ),
        {"id": endpoint.endpoint_id},
    )
    db.commit()
    counts = []
    for limit in (1, 100):
        with recorded() as statements:
            page = admin.get(f"{WEBHOOKS}/{endpoint.endpoint_id}/deliveries?limit={limit}", Accept=HAL_FORMS)
        assert page.status_int == 200
        counts.append(len(statements))
    assert counts[0] == counts[1]


@pytest.mark.parametrize("state", ["enabled", "disabled"])
@pytest.mark.parametrize("role", ["anonymous", "customer", "moderator", "suspended_admin", "admin"])
def test_what_is_shown_is_allowed_and_the_rest_is_refused(
    role: str, state: str, databases: Any, db: Session, people: People
) -> None:
    client = people.caller(roles=["admin"], state="suspended") if role == "suspended_admin" else getattr(people, role)()
    endpoint_id = make_webhook(db).endpoint_id
    event = db.scalars(sa.select(Event).order_by(Event.event_id.desc())).first()
    assert event is not None
    delivery = WebhookDelivery(endpoint_id=endpoint_id, event_id=event.event_id, type=event.type)
    db.add(delivery)
    if state == "disabled":
        db.execute(sa.update(WebhookEndpoint).values(status="disabled", disabled_reason="failing"))
    db.commit()
    one = f"{WEBHOOKS}/{endpoint_id}"
    pages: dict[type, str] = {
        WebhooksContext: WEBHOOKS,
        WebhookContext: one,
        DeliveryContext: f"{one}/deliveries/{delivery.delivery_id}",
    }
    steps = {"enabled": {"disable", "test"}, "disabled": {"enable"}}[state]
    expected = {
        WebhooksContext: {"make-webhook"},
        WebhookContext: {"edit", "delete", "rotate-secret", *steps},
        DeliveryContext: {"resend"} if state == "enabled" else set(),
    }
    bodies = {"make-webhook": HOOK, "edit": {"description": "Of the shop."}}
    for context, path in pages.items():
        page = client.get(path, Accept=HAL_FORMS)
        assert (page.status_int == 200) == (role == "admin")
        shown = set(page.json["_templates"]) - {"default"} if role == "admin" else set()
        assert shown == (expected[context] if role == "admin" else set())
        tried = [each for each in affordances.ALL if each.context is context and not each.is_safe]
        for operation in tried:
            with undone(databases):
                answer = client.request(operation.method, path + operation.suffix, bodies.get(operation.name, {}))
            allowed = operation.name in shown
            assert answer.status_int in (200, 201) if allowed else answer.status_int in REFUSED, answer.text
