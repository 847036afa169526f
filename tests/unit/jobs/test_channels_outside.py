"""Notifications by text message and by web push: to whom, in which words, and what follows from what became of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.config.settings import Settings
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.outbound.notifications.deliveries import OutboundMessage
from marketplace_api.domain.outbound.phones import confirmation, queries
from marketplace_api.errors import Unavailable
from marketplace_api.gateways import safe_http
from marketplace_api.gateways.email import make_mailer
from marketplace_api.gateways.errors import PermanentDeliveryError
from marketplace_api.gateways.webpush import PushSender, VapidKey, generate_key
from marketplace_api.gateways.webpush.vapid import VapidPush
from marketplace_api.jobs.outbound import channels
from marketplace_api.jobs.outbound.push_sender import send_push
from marketplace_api.jobs.outbound.sender import RetryLater
from marketplace_api.jobs.outbound.sms_sender import send_phone_code, send_sms
from marketplace_api.jobs.services import Services
from marketplace_api.models.identity.accounts import User
from marketplace_api.models.kernel.events import Event
from tests.factories.accounts import make_user
from tests.factories.browsers import Browser, subscriptions
from tests.factories.reviews import actor_of
from tests.support.webhook_receiver import Receiver, receiving, self_signed
from tests.unit.domain.identity.accounts_world import RULES

NUMBER = "+4915112345678"


@dataclass(frozen=True, slots=True)
class PushServices(Services):
    """Services with a sender of web push that trusts the certificate of the test."""

    sender: Any = None

    @property
    def push(self) -> PushSender:
        return self.sender  # type: ignore[no-any-return]


def services_for(settings: Settings, sender: Any = None) -> PushServices:
    return PushServices(settings, make_mailer(settings), sender)


@pytest.fixture
def local(tmp_path: Path) -> Services:
    return services_for(Settings(data_dir=tmp_path, secret=RULES.secret))


@pytest.fixture
def twilio(tmp_path: Path) -> Iterator[tuple[Receiver, Services]]:
    with receiving() as server:
        server.usual = (201, {}, b'{"sid": "SM123"}')
        settings = Settings(
            sms_backend="twilio",
            sms_account_sid="AC1",
            sms_auth_token="t",
            sms_from="Market",
            secret=RULES.secret,
            sms_base_url=server.url,
        )
        yield server, services_for(settings)


@pytest.fixture
def pushing(tmp_path: Path) -> Iterator[tuple[Receiver, Services]]:
    certificate = self_signed(tmp_path)

    def open_session() -> Any:
        session = safe_http.session(Settings(outbound_allow_private=True))
        session.verify = str(certificate)
        return session

    with receiving(certificate) as server:
        sender = VapidPush(VapidKey.from_setting(generate_key()), "mailto:ops@market.example", open_session)
        yield server, services_for(Settings(data_dir=tmp_path), sender)


def letter(user: User, **values: Any) -> OutboundMessage:
    usual = OutboundMessage(
        delivery_id=1,
        user_id=user.user_id,
        type="new_message",
        title="New message",
        text="ben wrote to you.",
        url="https://market.example/#/api/conversations/7",
        count=2,
        group_key="conversation:7",
        listing_id=None,
        conversation_id=7,
        date_created=datetime.now(UTC),
    )
    return replace(usual, **values)


def texts(services: Services) -> list[tuple[str, str]]:
    folder = services.settings.data_dir / "sms"
    read = (orjson.loads(path.read_bytes()) for path in sorted(folder.glob("*.json")))
    return [(message["to"], message["text"]) for message in read]


def ask(db: Session, user: User) -> Event:
    confirmation.request_code(db, actor_of(user), RULES, NUMBER)
    db.commit()
    return db.execute(sa.select(Event).order_by(Event.event_id.desc()).limit(1)).scalar_one()


def test_only_a_confirmed_number_is_told_anything_but_its_code(
    db: Session, databases: Any, anna: User, local: Services
) -> None:
    event = ask(db, anna)
    assert send_sms(db, letter(anna), local).note == "no_number"
    send_phone_code(db, event, local)
    send_phone_code(db, event, local)  # the worker died after the first one
    (_, first), (number, text) = texts(local)
    codes = [words.partition("your code is ")[2][:6] for words in (first, text)]
    assert number == NUMBER and text.startswith("Marketplace: your code is ")
    assert send_sms(db, letter(anna), local).note == "no_number"
    confirmation.confirm(db, databases, Actor(user_id=anna.user_id), RULES, codes[1])
    outcome = send_sms(db, letter(anna), local)
    assert outcome.status == "sent" and outcome.reference
    assert texts(local)[2:] == [(NUMBER, "Marketplace: ben wrote to you. https://market.example/#/api/conversations/7")]
    send_phone_code(db, event, local)
    assert len(texts(local)) == 3, "it was confirmed already"


def test_who_said_stop_is_told_nothing_whoever_has_the_number(
    db: Session, anna: User, twilio: tuple[Receiver, Services]
) -> None:
    server, services = twilio
    db.execute(sa.text("INSERT INTO phones (user_id, number) VALUES (:id, :to)"), {"id": anna.user_id, "to": NUMBER})
    assert send_sms(db, letter(anna), services).reference == "SM123"
    server.will(503)
    with pytest.raises(Unavailable):
        send_sms(db, letter(anna), services)
    server.will(400, b'{"code": 21614}')
    with pytest.raises(PermanentDeliveryError):
        send_sms(db, letter(anna), services)
    server.will(400, b'{"code": 21610}')
    assert send_sms(db, letter(anna), services).note == "stopped"
    assert queries.is_stopped(db, RULES, NUMBER)
    asked = len(server.requests)
    assert send_sms(db, letter(anna), services).note == "stopped"
    assert len(server.requests) == asked


def test_a_code_that_cannot_be_sent_is_told_to_who_waits_for_it(
    db: Session, anna: User, twilio: tuple[Receiver, Services]
) -> None:
    server, services = twilio
    event = ask(db, anna)
    server.will(429, Retry_After="3")
    with pytest.raises(Unavailable):  # the job runs again
        send_phone_code(db, event, services)
    for code, problem in ((21211, "undeliverable"), (21610, "stopped")):
        server.will(400, orjson.dumps({"code": code}))
        send_phone_code(db, event, services)
        assert queries.find(db, anna.user_id).problem == problem


def test_every_browser_of_a_person_is_told(db: Session, anna: User, pushing: tuple[Receiver, Services]) -> None:
    server, services = pushing
    assert send_push(db, letter(anna), services).note == "no_browser"
    browsers = [Browser(server.url) for _ in range(2)]
    for browser in browsers:
        browser.subscribe(db, anna)
    assert send_push(db, letter(anna, text="x" * 5000), services).status == "sent"
    by_path = {f"/send/{browser.name}": browser for browser in browsers}
    assert {request.path for request in server.requests} == set(by_path)
    for request in server.requests:
        said = by_path[request.path].read(request)
        assert (len(said.pop("body")), said) == (
            400,
            {
                "title": "New message",
                "url": "https://market.example/#/api/conversations/7",
                "type": "new_message",
                "group": "conversation:7",
                "count": 2,
            },
        )
        assert (request.headers["ttl"], request.headers["urgency"]) == ("86400", "normal")
    topics = {request.headers["topic"] for request in server.requests}
    assert len(topics) == 1 and len(topics.pop()) == 32
    send_push(db, letter(anna, type="new_login", group_key=None), services)
    assert server.requests[-1].headers["urgency"] == "high" and "topic" not in server.requests[-1].headers


def test_a_browser_that_is_gone_is_forgotten_and_one_that_waits_is_left_alone(
    db: Session, anna: User, pushing: tuple[Receiver, Services]
) -> None:
    server, services = pushing
    Browser(server.url).subscribe(db, anna)
    server.will(410)
    assert send_push(db, letter(anna), services).note == "no_browser"
    assert subscriptions(db, anna) == []
    kept = Browser(server.url).subscribe(db, anna)
    server.will(413)
    with pytest.raises(PermanentDeliveryError):
        send_push(db, letter(anna), services)
    server.will(429, Retry_After="600")
    with pytest.raises(RetryLater):
        send_push(db, letter(anna), services)
    asked = len(server.requests)
    with pytest.raises(RetryLater):
        send_push(db, letter(anna), services)
    assert len(server.requests) == asked, "not before its push service said"
    until = db.execute(sa.text("SELECT paused_until - now() FROM push_subscriptions")).scalar_one()
    assert timedelta(minutes=9) < until < timedelta(minutes=11)
    other = Browser(server.url).subscribe(db, anna)
    assert send_push(db, letter(anna), services).status == "sent"
    assert subscriptions(db, anna) == [kept, other]


def test_what_one_person_s_server_does_is_no_disorder_of_the_channel(
    db: Session, pushing: tuple[Receiver, Services]
) -> None:
    """Through the table of channels: those behind somebody whose push service is away are told all the same."""
    server, services = pushing
    users = [make_user(db) for _ in range(5)]
    for number, user in enumerate(users):
        # Nobody listens on port 1.
        Browser(server.url if number == 4 else "https://127.0.0.1:1").subscribe(db, user)
        db.execute(
            sa.text(
                "INSERT INTO deliveries (user_id, channel, type, event_id, session_id, due_at) "
                "VALUES (:id, 'web_push', 'new_login', :number, 1, now() - interval '1 minute')"
            ),
            {"id": user.user_id, "number": number},
        )
    db.commit()
    channels.send_due(db, services, "web_push", datetime.now(UTC))
    found = db.execute(sa.text("SELECT status, error FROM deliveries ORDER BY delivery_id")).all()
    assert [tuple(row) for row in found] == [("due", "unreachable")] * 4 + [("sent", None)]
