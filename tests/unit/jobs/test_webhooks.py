"""From the event log to a real receiver: each event once, signed, tried again, given up, whoever dies in between."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.config.settings import Settings
from marketplace_api.database.engines import Databases
from marketplace_api.domain.kernel.events import EventType, record
from marketplace_api.domain.outbound.webhooks import delivery as webhook_delivery
from marketplace_api.domain.outbound.webhooks import endpoints, fanout
from marketplace_api.gateways.safe_http import Limits
from marketplace_api.jobs import dispatch, worker
from marketplace_api.jobs.outbound import webhooks
from marketplace_api.models.outbound.webhooks import WebhookDelivery, WebhookEndpoint
from marketplace_api.version import VERSION
from tests.factories.accounts import make_user
from tests.factories.webhooks import OPERATOR, Received, Receiver, make_webhook, receiving


@pytest.fixture
def queued(committed_databases: Databases) -> Databases:
    committed_databases.on_event = dispatch.dispatch
    return committed_databases


@pytest.fixture
def ours(settings: Settings, tmp_path: Path) -> Settings:
    return replace(settings, data_dir=tmp_path, outbound_allow_private=True)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def happen(databases: Databases, count: int = 1, type: EventType = EventType.LISTING_DELETED) -> None:
    with databases.session() as session, session.begin():
        for number in range(1, count + 1):
            record(session, OPERATOR, type, number, previous={"status": "active"}, new={"reason": "Of a person."})


def made(databases: Databases, url: str, *types: str) -> int:
    with databases.session() as session, session.begin():
        return int(make_webhook(session, url, *types).endpoint_id)


def run(databases: Databases, settings: Settings) -> None:
    """As long as there is something to do now."""
    while webhooks.relay(databases):
        pass
    worker.run_pending(settings, databases)


def deliveries(databases: Databases) -> list[WebhookDelivery]:
    with databases.session() as session:
        return list(session.scalars(sa.select(WebhookDelivery).order_by(WebhookDelivery.delivery_id)))


def change(databases: Databases, statement: str) -> None:
    with databases.session() as session, session.begin():
        session.execute(sa.text(statement))


def make_due(databases: Databases) -> None:
    change(databases, "UPDATE webhook_deliveries SET next_attempt_at = now() WHERE status = 'waiting'")


def is_signed(request: Received, secret: str, position: int = 0) -> bool:
    """As a receiver checks it that knows the specification, and nothing of ours."""
    key = base64.b64decode(secret.split("_", 1)[1])
    signed = b".".join(
        [request.headers["webhook-id"].encode(), request.headers["webhook-timestamp"].encode(), request.body]
    )
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return hmac.compare_digest(request.headers["webhook-signature"].split(" ")[position], f"v1,{expected}")


def test_an_event_reaches_who_chose_its_type_signed_and_without_anything_personal(
    queued: Databases, ours: Settings, receiver: Receiver
) -> None:
    with queued.session() as session, session.begin():
        endpoint, secret = endpoints.create(
            session, OPERATOR, ours, url=receiver.url, event_types=("user.banned", "listing.*")
        )
        make_webhook(session, receiver.url, "review.posted")
    happen(queued)
    happen(queued, type=EventType.USER_EDITED)
    run(queued, ours)
    (got,) = receiver.got
    told = json.loads(got.body)
    assert set(told) == {"id", "type", "created_at", "actor", "subject", "previous", "new"}
    assert (told["type"], told["actor"], told["previous"], told["new"]) == (
        "listing.deleted",
        None,
        {"status": "active"},
        {},
    )
    assert told["subject"] == {"type": "listing", "id": 1, "href": f"{ours.public_url}/api/listings/1"}
    assert got.headers["webhook-event-id"] == str(told["id"])
    assert is_signed(got, secret)

    # For a day the old secret signs as well, then it does not.
    with queued.session() as session, session.begin():
        new_secret = endpoints.rotate_secret(session, OPERATOR, ours, endpoint.endpoint_id).secret
        endpoints.test(session, OPERATOR, endpoint.endpoint_id)
    run(queued, ours)
    tested = receiver.got[1]
    assert json.loads(tested.body)["type"] == "webhook.tested"
    assert is_signed(tested, new_secret, 0)
    assert is_signed(tested, secret, 1)
    change(queued, "UPDATE webhook_endpoints SET previous_until = now() WHERE previous_until IS NOT NULL")
    happen(queued)
    run(queued, ours)
    assert receiver.got[2].headers["webhook-signature"].count("v1,") == 1
    found = deliveries(queued)
    assert [(each.kind, each.status, each.attempts, each.response_body) for each in found] == [
        (kind, "delivered", 1, "thanks") for kind in ("automatic", "test", "automatic")
    ]


def test_what_fails_is_tried_again_under_the_same_id_and_a_gone_endpoint_is_switched_off(
    queued: Databases, ours: Settings, receiver: Receiver
) -> None:
    with queued.session() as session, session.begin():
        admin = make_user(session, roles=["admin"], email="ada@example.org")
        assert admin.user_id
    made(queued, receiver.url)
    answers = iter(
        [
            (500, {"Retry-After": "3600"}, b"x" * 5000),
            # No calendar has this year: whoever answers so is tried again like anybody else.
            (302, {"Location": receiver.url, "Retry-After": "1 Jan 99999999999999999999 00:00:00 GMT"}, b""),
            (410, {}, b""),
        ]
    )
    receiver.answer = lambda _request: next(answers)
    happen(queued)
    run(queued, ours)
    (waiting,) = deliveries(queued)
    assert (waiting.status, waiting.attempts, waiting.response_status) == ("waiting", 1, 500)
    assert len(waiting.response_body or "") == webhook_delivery.LONGEST_BODY
    assert waiting.next_attempt_at is not None
    assert waiting.next_attempt_at - waiting.date_created >= timedelta(minutes=59)
    run(queued, ours)
    assert len(receiver.got) == 1, "nothing is due"
    for _ in range(2):
        make_due(queued)
        run(queued, ours)
    (failed,) = deliveries(queued)
    with queued.session() as session:
        moment = session.execute(sa.text("SELECT extract(epoch FROM date_created) * 1000000 FROM webhook_deliveries"))
        expected = f"{failed.delivery_id}-{int(moment.scalar_one())}"
    assert [request.headers["webhook-id"] for request in receiver.got] == [expected] * 3
    assert {request.headers["user-agent"] for request in receiver.got} == {f"Marketplace-Webhooks/{VERSION}"}
    assert (failed.status, failed.attempts, failed.response_status) == ("failed", 3, 410)
    with queued.session() as session:
        endpoint = session.scalars(sa.select(WebhookEndpoint)).one()
    assert (endpoint.status, endpoint.disabled_reason, endpoint.failures) == ("disabled", "gone", 3)
    worker.run_pending(ours, queued)
    (mail,) = (ours.data_dir / "mail").glob("*.eml")
    assert "says that it is gone" in mail.read_text()
    assert f"/#/admin/webhooks/{endpoint.endpoint_id}\n" in mail.read_text(), "a page for people"
    # Off is off: nothing is recorded for it, and the rest of the workers are left alone.
    happen(queued)
    assert webhooks.relay(queued) is None


def test_an_endpoint_that_fails_for_days_is_switched_off_and_one_success_forgives_all(
    queued: Databases, ours: Settings, receiver: Receiver
) -> None:
    made(queued, receiver.url)
    receiver.answer = lambda _request: (500, {}, b"")
    happen(queued, webhook_delivery.LEAST_FAILURES - 1)
    run(queued, ours)
    receiver.answer = lambda _request: (204, {}, b"")
    happen(queued)
    run(queued, ours)
    with queued.session() as session:
        endpoint = session.scalars(sa.select(WebhookEndpoint)).one()
        assert (endpoint.status, endpoint.failures, endpoint.failing_since) == ("enabled", 0, None)
    receiver.answer = lambda _request: (500, {}, b"")
    make_due(queued)
    run(queued, ours)
    change(queued, "UPDATE webhook_endpoints SET failing_since = now() - interval '3 days', failures = 9")
    make_due(queued)
    run(queued, ours)
    with queued.session() as session:
        endpoint = session.scalars(sa.select(WebhookEndpoint)).one()
    assert (endpoint.status, endpoint.disabled_reason) == ("disabled", "failing")


def test_waits_grow_to_more_than_the_days_after_which_an_endpoint_is_given_up() -> None:
    waits = [webhook_delivery.backoff(number, None) for number in range(1, len(webhook_delivery.WAITS) + 2)]
    assert waits[-1] is None
    known = [wait for wait in waits if wait is not None]
    assert sum(known, timedelta()) > webhook_delivery.FAILING_FOR
    assert len(known) >= webhook_delivery.LEAST_FAILURES
    assert webhook_delivery.backoff(1, timedelta(days=400)) == webhook_delivery.LONGEST_RETRY_AFTER


def test_any_number_of_relays_make_each_delivery_once(queued: Databases, ours: Settings) -> None:
    made(queued, "https://receiver.example/")
    happen(queued, 300)
    begin, errors = threading.Barrier(8), list[BaseException]()

    def relay() -> None:
        try:
            begin.wait(5)
            for _ in range(5):
                webhooks.relay(queued)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=relay) for _ in range(8)]
    for thread in threads:
        thread.start()
    happen(queued, 300)
    for thread in threads:
        thread.join(60)
    while webhooks.relay(queued):
        pass
    assert errors == []
    found = [each.event_id for each in deliveries(queued) if each.type == "listing.deleted"]
    assert len(found) == len(set(found)) == 600
    with queued.session() as session:
        jobs = session.execute(sa.text("SELECT queueing_lock FROM procrastinate_jobs WHERE queue_name = 'webhooks'"))
        assert jobs.scalars().all() == ["webhooks:1"]


def test_who_dies_between_two_steps_leaves_nothing_out_and_nothing_twice(
    queued: Databases, ours: Settings, receiver: Receiver
) -> None:
    endpoint_id = made(queued, receiver.url)
    # A transaction that began to record before and commits after the others.
    with queued.session() as late:
        record(late, OPERATOR, EventType.LISTING_DELETED, 1)
        happen(queued, 2)
        # Dies after the deliveries were made, before the commit.
        with queued.session() as session:
            fanout.fan_out(session)
            session.rollback()
        webhooks.relay(queued)
        late.commit()
    # Dies when it has taken what is due, before it sends.
    webhooks.relay(queued)
    with queued.session() as session, session.begin():
        taken = webhook_delivery.take(session, endpoint_id, 10)[1]
        assert len(taken) == 3
    run(queued, ours)
    assert receiver.got == [], "within the lease nobody else sends them"
    change(queued, "UPDATE webhook_deliveries SET next_attempt_at = next_attempt_at - interval '2 minutes'")
    run(queued, ours)
    assert sorted(json.loads(request.body)["id"] for request in receiver.got) == sorted(
        attempt.event.event_id for attempt in taken
    )
    assert {each.attempts for each in deliveries(queued)} == {2}


def test_what_was_before_an_endpoint_listened_is_not_told(
    queued: Databases, ours: Settings, receiver: Receiver
) -> None:
    happen(queued, 3)
    assert webhooks.relay(queued) is None
    endpoint_id = made(queued, receiver.url, "listing.deleted")
    happen(queued)
    with queued.session() as session, session.begin():
        endpoints.disable(session, OPERATOR, endpoint_id)
    happen(queued)
    with queued.session() as session, session.begin():
        endpoints.enable(session, OPERATOR, endpoint_id)
    happen(queued)
    run(queued, ours)
    assert len(receiver.got) == 1


def test_a_slow_endpoint_holds_one_thread_and_others_are_told_meanwhile(
    queued: Databases, ours: Settings, receiver: Receiver
) -> None:
    waiting, going_on = threading.Semaphore(0), threading.Event()

    def slowly(_request: Received) -> Any:
        waiting.release()
        going_on.wait(10)
        return 200, {}, b""

    receiver.answer = slowly
    with receiving() as quick:
        slow_id = made(queued, receiver.url, "listing.*")
        made(queued, quick.url, "listing.*")
        happen(queued, 10)
        webhooks.relay(queued)
        with queued.session() as session:
            sending = threading.Thread(target=webhooks.send_webhooks, args=(session, _services(ours), slow_id))
            sending.start()
            for _ in range(webhooks.AT_A_TIME):
                assert waiting.acquire(timeout=5)
            assert len(receiver.got) == webhooks.AT_A_TIME, "no more at a time"
            with queued.session() as other:
                webhooks.send_webhooks(other, _services(ours), slow_id + 1)
            assert len(quick.got) == 10
            going_on.set()
            sending.join(10)
    assert len(receiver.got) == 10


def test_a_receiver_may_be_silent_for_all_the_time_that_is_promised(
    queued: Databases, ours: Settings, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    promised, usual = webhooks.LIMITS, Limits()
    assert promised.total == 15 > usual.read, "docs/webhooks.md"
    # All a fifth of what it is: who answers after 2.1 seconds stands for who needs more than ten.
    monkeypatch.setattr(webhooks, "LIMITS", replace(promised, read=promised.read / 5, total=promised.total / 5))
    receiver.answer = lambda _request: threading.Event().wait(usual.read / 5 + 0.1) or (200, {}, b"at last")
    made(queued, receiver.url)
    happen(queued)
    run(queued, ours)
    (delivery,) = deliveries(queued)
    assert (delivery.status, delivery.problem, delivery.response_body) == ("delivered", None, "at last")


def _services(settings: Settings) -> Any:
    from marketplace_api.gateways.email import make_mailer
    from marketplace_api.jobs.services import Services

    return Services(settings, make_mailer(settings))


def test_an_address_that_came_to_be_private_is_not_called(
    queued: Databases, ours: Settings, receiver: Receiver
) -> None:
    made(queued, receiver.url)
    happen(queued)
    run(queued, replace(ours, outbound_allow_private=False))
    (delivery,) = deliveries(queued)
    assert (delivery.status, delivery.problem) == ("failed", "The address must be one of the public Internet.")
    assert receiver.got == []


def test_old_deliveries_are_deleted(queued: Databases, ours: Settings, receiver: Receiver) -> None:
    made(queued, receiver.url)
    happen(queued, 2)
    run(queued, ours)
    change(
        queued,
        "UPDATE webhook_deliveries SET date_created = now() - interval '31 days' "
        "WHERE delivery_id = (SELECT min(delivery_id) FROM webhook_deliveries)",
    )
    with queued.session() as session:
        webhooks.purge_webhook_deliveries(session, _services(ours))
    assert len(deliveries(queued)) == 1


def test_the_thread_beside_the_worker_passes_on_by_itself_and_ends_with_it(queued: Databases) -> None:
    made(queued, "https://receiver.example/")
    with webhooks.relay_in_background(queued):
        happen(queued)
        deadline = time.monotonic() + 20
        while not deliveries(queued):
            assert time.monotonic() < deadline
            time.sleep(0.02)
    happen(queued)
    assert not any(thread.name == "webhooks" for thread in threading.enumerate())
    assert len(deliveries(queued)) == 1


def test_while_nobody_listens_a_look_writes_nothing(databases: Any, db: Session) -> None:
    position = sa.text("SELECT xmax::text, event_id FROM webhook_position")
    record(db, OPERATOR, EventType.LISTING_DELETED, 1)
    before = db.execute(position).one()
    assert fanout.fan_out(db) is None
    assert db.execute(position).one() == before
