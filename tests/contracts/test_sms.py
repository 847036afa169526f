"""Both senders of text messages hand over the same message; that of Twilio to a server that behaves like its own."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol
from urllib.parse import parse_qsl

import orjson
import pytest

from marketplace_api.config.settings import Settings
from marketplace_api.errors import Unavailable
from marketplace_api.gateways.errors import PermanentDeliveryError
from marketplace_api.gateways.sms import LocalSms, NumberStopped, SmsSender, is_signed, make_sms
from marketplace_api.gateways.sms.text import compose, parts
from marketplace_api.gateways.sms.twilio import TwilioSms
from tests.support.webhook_receiver import Receiver, receiving

NUMBER, TEXT = "+4915112345678", "Grüße & 100 % „echt“ — +1?"


class Outbox(Protocol):
    sender: SmsSender

    def received(self) -> list[tuple[str, str]]: ...


class LocalOutbox:
    def __init__(self, folder: Path) -> None:
        self.folder = folder / "sms"
        self.sender: SmsSender = LocalSms(self.folder)

    def received(self) -> list[tuple[str, str]]:
        read = (orjson.loads(path.read_bytes()) for path in sorted(self.folder.glob("*.json")))
        return [(message["to"], message["text"]) for message in read]


class TwilioOutbox:
    def __init__(self, server: Receiver) -> None:
        self.server = server
        settings = Settings(
            sms_backend="twilio",
            sms_account_sid="AC1",
            sms_auth_token="secret",
            sms_from="+15005550006",
            sms_base_url=server.url,
            public_url="https://market.example",
        )
        self.sender: SmsSender = make_sms(settings)
        self.server.usual = (201, {}, b'{"sid": "SM123", "status": "queued"}')

    def forms(self) -> list[dict[str, str]]:
        for request in self.server.requests:
            assert (request.method, request.path) == ("POST", "/2010-04-01/Accounts/AC1/Messages.json")
            assert request.headers["authorization"] == f"Basic {b64encode(b'AC1:secret').decode()}"
            assert request.headers["content-type"] == "application/x-www-form-urlencoded"
        return [dict(parse_qsl(request.body.decode(), strict_parsing=True)) for request in self.server.requests]

    def received(self) -> list[tuple[str, str]]:
        return [(form["To"], form["Body"]) for form in self.forms()]


@pytest.fixture
def twilio() -> Iterator[TwilioOutbox]:
    with receiving() as server:
        yield TwilioOutbox(server)


@pytest.fixture(params=["local", "twilio"])
def outbox(request: pytest.FixtureRequest, tmp_path: Path) -> Outbox:
    if request.param == "local":
        return LocalOutbox(tmp_path)
    found: Outbox = request.getfixturevalue("twilio")
    return found


def test_a_message_arrives_as_it_is(outbox: Outbox) -> None:
    first, second = outbox.sender.send(NUMBER, TEXT), outbox.sender.send(NUMBER, "Another one.")
    assert first and second
    assert outbox.received() == [(NUMBER, TEXT), (NUMBER, "Another one.")]


def test_nobody_else_reads_the_files(tmp_path: Path) -> None:
    LocalSms(tmp_path / "sms").send(NUMBER, TEXT)
    (path,) = (tmp_path / "sms").iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="cannot be written"):
        LocalSms(tmp_path / "file").send(NUMBER, TEXT)


def test_twilio_is_told_who_sends_and_where_to_report(twilio: TwilioOutbox) -> None:
    assert twilio.sender.send(NUMBER, TEXT) == "SM123"
    assert isinstance(twilio.sender, TwilioSms)
    replace(twilio.sender, sender="MG77", callback="").send(NUMBER, TEXT)
    by_number, by_service = twilio.forms()
    assert by_number["From"] == "+15005550006" and "MessagingServiceSid" not in by_number
    assert by_number["StatusCallback"] == "https://market.example/hooks/twilio"
    assert by_service["MessagingServiceSid"] == "MG77"
    assert not {"From", "StatusCallback"} & by_service.keys()


def test_what_twilio_answers_decides_whether_to_try_again(twilio: TwilioOutbox) -> None:
    def refusal(status: int, code: int | None = None, **headers: str) -> Exception:
        twilio.server.will(status, orjson.dumps({"code": code, "message": f"not to {NUMBER}"}), **headers)
        with pytest.raises((Unavailable, PermanentDeliveryError)) as caught:
            twilio.sender.send(NUMBER, TEXT)
        assert NUMBER not in str(caught.value)
        return caught.value

    assert type(refusal(400, 21610)) is NumberStopped
    assert {type(refusal(400, code)) for code in (21211, 21614, 30999)} == {PermanentDeliveryError}
    assert {type(refusal(*answer)) for answer in ((401, 20003), (400, 21606), (404, 20404), (500,), (302,))} >= {
        Unavailable
    }
    later = refusal(429, 20429, Retry_After="7")
    assert isinstance(later, Unavailable) and later.retry_after == 7
    twilio.server.will(201, b"<html>")
    with pytest.raises(Unavailable, match="without the id"):
        twilio.sender.send(NUMBER, TEXT)
    assert isinstance(twilio.sender, TwilioSms)
    with pytest.raises(Unavailable, match="does not answer"):
        replace(twilio.sender, base_url="http://127.0.0.1:1").send(NUMBER, TEXT)


def test_an_account_is_looked_at_without_sending(twilio: TwilioOutbox) -> None:
    assert isinstance(twilio.sender, TwilioSms)
    twilio.server.will(200, b'{"status": "active"}')
    twilio.sender.check()
    assert [(request.method, request.path) for request in twilio.server.requests] == [
        ("GET", "/2010-04-01/Accounts/AC1.json")
    ]
    for status, body, told in ((401, b"{}", "SMS_AUTH_TOKEN"), (200, b'{"status": "suspended"}', "is suspended")):
        twilio.server.will(status, body)
        with pytest.raises(Unavailable, match=told):
            twilio.sender.check()


def test_a_signature_is_that_of_twilio_s_documentation() -> None:
    form = [
        ("To", "+18005551212"),
        ("Digits", "1234"),
        ("CallSid", "CA1234567890ABCDE"),
        ("From", "+12349013030"),
        ("Caller", "+12349013030"),
    ]
    url, token, signature = "https://mycompany.com/myapp.php?foo=1&bar=2", "12345", "0/KCTR6DLpKmkAf8muzZqo1nDgQ="
    assert is_signed(token, url, form, signature)
    assert is_signed(token, url.replace(".com/", ".com:443/"), form, signature)
    assert not is_signed(token, url, [*form[1:], ("To", "+18005551213")], signature)
    assert not is_signed(token, url + "3", form, signature)
    assert not is_signed("12346", url, form, signature)
    assert not is_signed(token, url, form, "")
    assert not is_signed("", url, form, signature)


def test_a_text_is_cut_where_it_still_makes_sense() -> None:
    url = "https://market.example/#/api/conversations/12"
    assert compose("Short.\nAnd  plain.", url) == f"Short. And plain. {url}"
    for word in ("desk", "Stühlchen", "écran", "стол", "🪑🪑"):
        long = compose(f"{word} " * 200, url)
        assert long.endswith(f"{word}... {url}")
        assert parts(long) == 2
        assert parts(long.replace(f"... {url}", f" {word}... {url}")) == 3, "one word more would cost a part more"
    assert compose("x" * 1000, "https://market.example/" + "y" * 400) == "x" * 303 + "..."
    assert (parts("a" * 160), parts("a" * 161), parts("€" * 80), parts("я" * 70), parts("я" * 71)) == (1, 2, 1, 1, 2)
