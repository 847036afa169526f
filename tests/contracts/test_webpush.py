"""Both senders of web push hand over the same notification; the real one to a push service that is one, by HTTPS."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any, Protocol

import orjson
import pytest
import requests

from marketplace_api.config.settings import Settings, SettingsError
from marketplace_api.errors import Unavailable
from marketplace_api.gateways import safe_http
from marketplace_api.gateways.errors import PermanentDeliveryError
from marketplace_api.gateways.webpush import (
    LocalPush,
    Push,
    PushSender,
    SubscriptionGone,
    VapidKey,
    browser_key,
    browser_secret,
    generate_key,
    make_push,
    vapid_key,
)
from marketplace_api.gateways.webpush.vapid import VapidPush
from tests.factories.browsers import Browser, claims_of
from tests.support.webhook_receiver import Receiver, receiving, self_signed

PAYLOAD = {"title": "New message", "body": "Grüße — „echt“ 🪑", "url": "https://market.example/#/x", "count": 2}
PUSH = Push(PAYLOAD, ttl=3600, urgency="high", topic="abc_DEF-123")


class Service(Protocol):
    sender: PushSender
    browser: Browser

    def received(self) -> list[tuple[Any, ...]]: ...


class LocalService:
    def __init__(self, folder: Path) -> None:
        self.sender: PushSender = LocalPush(folder / "push")
        self.folder, self.browser = folder / "push", Browser()

    def received(self) -> list[tuple[Any, ...]]:
        read = (orjson.loads(path.read_bytes()) for path in sorted(self.folder.glob("*.json")))
        return [(each["payload"], str(each["ttl"]), each["urgency"], each["topic"]) for each in read]


class RealService:
    """A push service of one browser; ``open_session`` trusts its certificate, which is the only thing that is not as in
    production."""

    def __init__(self, server: Receiver, certificate: Path) -> None:
        self.server, self.browser = server, Browser(server.url)
        self.key = VapidKey.from_setting(generate_key())

        def open_session() -> requests.Session:
            session = safe_http.session(Settings(outbound_allow_private=True))
            session.verify = str(certificate)
            return session

        self.open_session: Callable[[], requests.Session] = open_session
        self.sender: PushSender = VapidPush(self.key, "mailto:ops@market.example", open_session)

    def received(self) -> list[tuple[Any, ...]]:
        return [
            (self.browser.read(each), each.headers["ttl"], each.headers["urgency"], each.headers.get("topic"))
            for each in self.server.requests
        ]


@pytest.fixture
def real(tmp_path: Path) -> Iterator[RealService]:
    certificate = self_signed(tmp_path)
    with receiving(certificate) as server:
        yield RealService(server, certificate)


@pytest.fixture(params=["local", "real"])
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Service:
    if request.param == "local":
        return LocalService(tmp_path)
    found: Service = request.getfixturevalue("real")
    return found


def test_a_notification_arrives_as_it_is(service: Service) -> None:
    service.sender.send(service.browser.target, PUSH)
    service.sender.send(service.browser.target, Push({"title": "Plain"}, ttl=0, urgency="low"))
    assert service.received() == [(PAYLOAD, "3600", "high", "abc_DEF-123"), ({"title": "Plain"}, "0", "low", None)]


def test_what_no_push_service_takes_is_not_tried(service: Service) -> None:
    with pytest.raises(PermanentDeliveryError, match="are the most"):
        service.sender.send(service.browser.target, Push({"body": "x" * 4000}, ttl=1, urgency="low"))
    service.sender.send(service.browser.target, Push({"body": "x" * 2980}, ttl=1, urgency="low"))
    assert len(service.received()) == 1


def test_push_services_know_who_sends(real: RealService) -> None:
    real.sender.send(real.browser.target, PUSH)
    (request,) = real.server.requests
    assert (request.method, request.path) == ("POST", f"/send/{real.browser.name}")
    claims = claims_of(request, real.key.public)
    assert claims["sub"] == "mailto:ops@market.example"
    assert 0 < claims["exp"] - time.time() <= 24 * 3600
    assert len(request.body) < 4096
    assert str(PAYLOAD["body"]).encode() not in request.body


def test_what_a_push_service_answers_decides_what_follows(real: RealService) -> None:
    def refusal(status: int, **headers: str) -> Exception:
        real.server.will(status, b"no", **headers)
        with pytest.raises((Unavailable, PermanentDeliveryError)) as caught:
            real.sender.send(real.browser.target, PUSH)
        assert real.browser.name not in str(caught.value)
        return caught.value

    assert {type(refusal(status)) for status in (404, 410)} == {SubscriptionGone}
    assert {type(refusal(status)) for status in (400, 401, 403, 413)} == {PermanentDeliveryError}
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    never = "1 Jan 99999999999999999999 00:00:00 GMT"
    waits = [refusal(429, Retry_After=text) for text in ("120", soon, "soon", "99999999", never)] + [refusal(503)]
    assert all(isinstance(wait, Unavailable) for wait in waits)
    told = [getattr(wait, "retry_after", 0) for wait in waits]
    assert told[0] == 120 and 80 <= told[1] <= 90 and told[2:] == [None, 24 * 3600, None, None]
    # A redirection is an answer like any other that is no success: nobody goes where it leads.
    assert type(refusal(307, Location=f"{real.server.url}/elsewhere")) is PermanentDeliveryError
    assert {request.path for request in real.server.requests} == {f"/send/{real.browser.name}"}


def test_nobody_is_called_who_must_not_be(real: RealService) -> None:
    """The same service by the guard of production: it lies on this machine."""
    guarded = VapidPush(real.key, "mailto:ops@market.example", lambda: safe_http.session(Settings()))
    with pytest.raises(SubscriptionGone, match="none that we may call"):
        guarded.send(real.browser.target, PUSH)
    assert real.server.requests == []
    with pytest.raises(Unavailable):  # nobody knows who made this certificate
        VapidPush(
            real.key, "mailto:a@b.example", lambda: safe_http.session(Settings(outbound_allow_private=True))
        ).send(real.browser.target, PUSH)
    assert real.server.requests == []


def test_keys_are_made_once_kept_and_known(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, push_backend="vapid", push_contact="mailto:ops@market.example")
    made = vapid_key(settings)
    assert made is not None
    path = tmp_path / "keys" / "vapid-p256.key"
    assert path.stat().st_mode & 0o777 == 0o600
    assert VapidKey.load_or_create(tmp_path / "keys").public == made.public
    assert len(browser_key(made.public)) == 65
    assert isinstance(make_push(settings), VapidPush)
    path.write_text("nonsense")
    with pytest.raises(SettingsError, match="damaged"):
        VapidKey.load_or_create(tmp_path / "keys")
    assert vapid_key(Settings(environment="production", data_dir=tmp_path)) is None
    with pytest.raises(SettingsError, match=r"(?s)PUSH_VAPID_KEY.*PUSH_CONTACT"):
        Settings.load({"push.vapid_key": "short", "push.backend": "vapid"}, {})


def test_what_is_no_key_of_a_browser_is_refused() -> None:
    for wrong in ("", "AAAA", "B" * 87, "é" * 87, "not base64!"):
        for read in (browser_key, browser_secret):
            with pytest.raises(ValueError):
                read(wrong)
