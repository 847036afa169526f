"""Both mailers deliver the same message; the SMTP one against a real server on this machine."""

from __future__ import annotations

import email
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Protocol

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope

from marketplace_api.config.settings import Settings, SettingsError
from marketplace_api.errors import Unavailable
from marketplace_api.gateways.email import LocalMailer, Mailer, SmtpMailer, make_mailer
from marketplace_api.gateways.email.templates import SUBJECTS, render
from marketplace_api.gateways.errors import PermanentDeliveryError

NOW = datetime(2026, 11, 21, 14, 5, tzinfo=UTC)
CONTEXT: dict[str, Any] = {
    "username": "ada",
    "public_url": "https://market.example",
    "link": "https://market.example/#/reset-password?token=" + "t" * 43,
    "to_confirm": "ada@example.org",
    "expires": NOW,
    "moment": NOW,
    "erased_on": NOW,
    "new_email": "new@example.org",
    "device_text": " (Firefox)",
    "reason": "Insults in three <b>reviews</b>.",
    "until": NOW,
    "was": "banned",
    "endpoint_id": 7,
    "host": "shop.example",
    "failures": 12,
    "gone": False,
}
SENDER = "Märkt <no-reply@market.example>"


class Outbox(Protocol):
    mailer: Mailer

    def received(self) -> list[EmailMessage]: ...


class LocalOutbox:
    def __init__(self, folder: Path) -> None:
        self.folder = folder / "mail"
        self.mailer: Mailer = LocalMailer(self.folder)

    def received(self) -> list[EmailMessage]:
        return [_parsed(path.read_bytes()) for path in sorted(self.folder.glob("*.eml"))]


class Server:
    """An SMTP server that keeps what it gets and refuses whom it is told to refuse."""

    def __init__(self) -> None:
        self.contents: list[bytes] = []
        self.answers: dict[str, str] = {}

    async def handle_RCPT(  # noqa: N802  the server looks for this name
        self, _server: SMTP, _session: Any, envelope: Envelope, address: str, _options: Any
    ) -> str:
        answer = self.answers.get(address)
        if answer is None:
            envelope.rcpt_tos.append(address)
        return answer or "250 OK"

    async def handle_DATA(  # noqa: N802  the server looks for this name
        self, _server: SMTP, _session: Any, envelope: Envelope
    ) -> str:
        assert isinstance(envelope.content, bytes)
        self.contents.append(envelope.content)
        return "250 OK"


class SmtpOutbox:
    def __init__(self, server: Server, port: int) -> None:
        self.server = server
        self.mailer: Mailer = SmtpMailer.from_url(f"smtp://127.0.0.1:{port}")

    def received(self) -> list[EmailMessage]:
        return [_parsed(content) for content in self.server.contents]


def _parsed(content: bytes) -> EmailMessage:
    message = email.message_from_bytes(content, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def smtp() -> Iterator[SmtpOutbox]:
    server = Server()
    controller = Controller(server, hostname="127.0.0.1", port=_free_port(), enable_SMTPUTF8=True)
    controller.start()
    yield SmtpOutbox(server, controller.port)
    controller.stop()


@pytest.fixture(params=["local", "smtp"])
def outbox(request: pytest.FixtureRequest, tmp_path: Path) -> Outbox:
    if request.param == "local":
        return LocalOutbox(tmp_path)
    outbox: Outbox = request.getfixturevalue("smtp")
    return outbox


def _body(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    assert part is not None
    content: str = part.get_content()
    return content


@pytest.mark.parametrize("name", SUBJECTS)
def test_every_message_arrives_as_text_and_html(outbox: Outbox, name: str) -> None:
    outbox.mailer.send(render(name, sender=SENDER, to="ada@example.org", **CONTEXT))
    (message,) = outbox.received()
    assert message["To"] == "ada@example.org"
    assert message["From"].addresses[0].display_name == "Märkt"
    assert SUBJECTS[name] in message["Subject"]
    assert message["Message-ID"].endswith("@market.example>")
    assert message["Date"].datetime.tzinfo is not None
    assert "ada" in _body(message, "plain")
    assert "<html" in _body(message, "html")


@pytest.mark.parametrize("name", ["confirm_email", "password_reset"])
def test_the_link_survives_the_way(outbox: Outbox, name: str) -> None:
    outbox.mailer.send(render(name, sender=SENDER, to="ada@example.org", **CONTEXT))
    (message,) = outbox.received()
    assert CONTEXT["link"] in _body(message, "plain")
    assert f'href="{CONTEXT["link"]}"' in _body(message, "html")


def test_names_of_the_whole_world_and_long_lines_survive(outbox: Outbox) -> None:
    name = "Zoë 李 🚗 " + "x" * 3000
    outbox.mailer.send(render("password_changed", sender=SENDER, to="zoë@exämple.org", **{**CONTEXT, "username": name}))
    (message,) = outbox.received()
    assert name in _body(message, "plain")
    assert name in _body(message, "html")


def test_a_burst_arrives_whole_and_in_order(outbox: Outbox) -> None:
    for number in range(5):
        outbox.mailer.send(
            render("password_changed", sender=SENDER, to="ada@example.org", **{**CONTEXT, "username": f"user-{number}"})
        )
    assert [f"user-{n}" in _body(m, "plain") for n, m in enumerate(outbox.received())] == [True] * 5


def test_values_are_escaped_in_html_only() -> None:
    message = render(
        "password_changed", sender=SENDER, to="ada@example.org", **{**CONTEXT, "username": "<script>alert(1)</script>"}
    )
    assert "<script>" not in _body(message, "html")
    assert "<script>" in _body(message, "plain")


def test_no_message_loads_anything_from_elsewhere() -> None:
    for name in SUBJECTS:
        html = _body(render(name, sender=SENDER, to="ada@example.org", **CONTEXT), "html")
        assert "src=" not in html
        assert "@import" not in html
        assert "url(" not in html


@pytest.mark.parametrize(
    "address", ["ada@example.org\r\nBcc: eve@example.org", "nobody", "", "@example.org", "ada@", "a\nb <a@b.example>"]
)
def test_no_address_adds_a_header(address: str) -> None:
    with pytest.raises(ValueError, match="address"):
        render("password_changed", sender=SENDER, to=address, **CONTEXT)


def test_the_local_file_is_private_and_names_the_recipient(tmp_path: Path) -> None:
    outbox = LocalOutbox(tmp_path)
    outbox.mailer.send(render("password_changed", sender=SENDER, to="../../Etc@Example.org", **CONTEXT))
    (path,) = outbox.folder.iterdir()
    assert "etc-at-example.org" in path.name
    assert path.stat().st_mode & 0o077 == 0


def test_a_mail_folder_that_cannot_be_written_is_temporary(tmp_path: Path) -> None:
    (tmp_path / "mail").write_text("in the way")
    with pytest.raises(Unavailable):
        LocalOutbox(tmp_path).mailer.send(render("password_changed", sender=SENDER, to="a@b.example", **CONTEXT))


def test_a_refused_recipient_is_permanent_and_stays_secret(smtp: SmtpOutbox) -> None:
    smtp.server.answers["ada@example.org"] = "550 no such user"
    with pytest.raises(PermanentDeliveryError) as caught:
        smtp.mailer.send(render("password_changed", sender=SENDER, to="ada@example.org", **CONTEXT))
    assert "550" in str(caught.value)
    assert "ada" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_recipient_put_off_is_temporary(smtp: SmtpOutbox) -> None:
    smtp.server.answers["ada@example.org"] = "451 greylisted"
    with pytest.raises(Unavailable):
        smtp.mailer.send(render("password_changed", sender=SENDER, to="ada@example.org", **CONTEXT))
    del smtp.server.answers["ada@example.org"]
    smtp.mailer.send(render("password_changed", sender=SENDER, to="ada@example.org", **CONTEXT))
    assert len(smtp.received()) == 1


def test_a_server_that_is_down_is_temporary() -> None:
    mailer = SmtpMailer.from_url(f"smtp://127.0.0.1:{_free_port()}")
    with pytest.raises(Unavailable):
        mailer.send(render("password_changed", sender=SENDER, to="ada@example.org", **CONTEXT))
    with pytest.raises(Unavailable):
        mailer.check()


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")
def test_credentials_are_used_and_wrong_ones_are_temporary() -> None:
    def authenticate(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        return AuthResult(success=data.password == b"p:w/d")

    server = Server()
    controller = Controller(
        server,
        hostname="127.0.0.1",
        port=_free_port(),
        authenticator=authenticate,
        auth_require_tls=False,
        auth_required=True,
    )
    controller.start()
    message = render("password_changed", sender=SENDER, to="ada@example.org", **CONTEXT)
    try:
        SmtpMailer.from_url(f"smtp://user:p%3Aw%2Fd@127.0.0.1:{controller.port}").send(message)
        with pytest.raises(Unavailable):
            SmtpMailer.from_url(f"smtp://user:wrong@127.0.0.1:{controller.port}", timeout=1).send(message)
    finally:
        controller.stop()
    assert len(server.contents) == 1


@pytest.mark.parametrize(
    "url", ["http://host", "smtp://", "smtp://host:port", "smtp://user:secret@mail.example", "rubbish"]
)
def test_an_unusable_address_of_a_server_stops_the_boot(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        SmtpMailer.from_url(url)
    assert "secret" not in str(caught.value)


def test_addresses_of_servers_are_understood() -> None:
    tls = SmtpMailer.from_url("smtps://user:p%40ss@mail.example")
    assert (tls.host, tls.port, tls.username, tls.password, tls.implicit_tls) == (
        "mail.example",
        465,
        "user",
        "p@ss",
        True,
    )
    starttls = SmtpMailer.from_url("smtp://u:p@mail.example?starttls=1")
    assert (starttls.port, starttls.starttls) == (587, True)
    assert "p" not in repr(starttls).split("username=")[1].replace("implicit_tls", "").partition(",")[0]


def test_the_setting_chooses(tmp_path: Path) -> None:
    assert make_mailer(Settings(data_dir=tmp_path)) == LocalMailer(tmp_path / "mail")
    assert isinstance(make_mailer(Settings(email_backend="smtp", smtp_url="smtp://127.0.0.1")), SmtpMailer)
