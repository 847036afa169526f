"""What our e-mails say: one template of text and one of MJML per message, made into a finished ``EmailMessage``.

MJML (https://documentation.mjml.io) becomes HTML that mail programs show alike. Values reach it escaped, and headers through ``email.headerregistry``, which refuses line breaks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email import policy as policies
from email.headerregistry import Address, HeaderRegistry, UnstructuredHeader
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid, parseaddr
from functools import lru_cache
from typing import Any

import jinja2
import mrml

# RFC 5322 §2.1.1 allows 998 octets in a line; longer ones must be encoded.
LONGEST_RAW_LINE = 990

# XML 1.0, section 2.2, without the characters that it advises against.
_UNREADABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufdcf\ufdf0-\ufffd\U00010000-\U0010ffff]")

SUBJECTS: Mapping[str, str] = {
    "confirm_email": "Confirm your e-mail address",
    "password_reset": "Set a new password",
    "email_change_notice": "Your e-mail address is about to change",
    "email_changed": "Your e-mail address was changed",
    "password_changed": "Your password was changed",
    "session_theft": "We ended one of your sessions",
    "account_deactivated": "Your account is deactivated",
    "account_suspended": "Your account is suspended",
    "account_banned": "Your account is banned",
    "account_reinstated": "Your account is yours again",
    "webhook_disabled": "A webhook was switched off",
}
"""Every message about an account, with its subject."""

NEWS = "news"
"""The message that tells of notifications; its subject is theirs."""


def render(
    name: str,
    *,
    sender: str,
    to: str,
    subject: str = "",
    reply_to: str = "",
    headers: Mapping[str, str] | None = None,
    **context: Any,
) -> EmailMessage:
    """The message ``name`` (a key of :data:`SUBJECTS`, or :data:`NEWS`) from ``sender`` to the one address ``to``.

    Answers go to ``reply_to``, if there is one, which the templates know as well. ``headers`` replace those that it has
    by itself. The service's name in the text is the display name of ``sender``. Raises ``ValueError`` for an address
    that is none or tries to add a header.
    """
    author = _address(sender)
    subject = subject or SUBJECTS[name]
    context = {"service": service_of(sender), "subject": subject, "reply_to": reply_to, **context}
    message = EmailMessage(policy=_POLICY)
    message["Subject"] = f"{context['service']}: {subject}"
    message["From"] = author
    message["To"] = _address(to)
    if reply_to:
        message["Reply-To"] = _address(reply_to)
    message["Date"] = format_datetime(datetime.now(UTC))
    message["Message-ID"] = make_msgid(domain=author.domain)
    # RFC 3834: no vacation responder shall answer.
    message["Auto-Submitted"] = "auto-generated"
    for header, value in (headers or {}).items():
        del message[header]
        message[header] = value
    text = _readable(_templates(False).get_template(f"{name}.txt.jinja2").render(context))
    html = mrml.to_html(_readable(_templates(True).get_template(f"{name}.mjml.jinja2").render(context))).content
    message.set_content(text, cte=_encoding(text))
    message.add_alternative(html, subtype="html", cte=_encoding(html))
    return message


def _readable(text: str) -> str:
    """Without characters that control a terminal, or that XML, and so MJML, cannot hold: people write what they like, and
    the letter that tells of it reaches somebody else."""
    return _UNREADABLE.sub("\ufffd", text)


def domain_of(sender: str) -> str:
    """The domain of an address, with or without a name; raises as :func:`render`."""
    return _address(sender).domain


def service_of(sender: str) -> str:
    """The name under which the service writes to people; raises as :func:`render`."""
    author = _address(sender)
    return author.display_name or author.domain


class _Whole(UnstructuredHeader):
    """A header that stays in one line: an address longer than a line would be sent as an encoded word (RFC 2047), which
    programs that read the header do not take for an address."""

    def fold(self, *, policy: Any) -> str:
        return f"{self.name}: {self}{policy.linesep}"  # type: ignore[attr-defined]


def _policy() -> Any:
    registry: Any = HeaderRegistry()
    registry.map_to_type("list-unsubscribe", _Whole)
    return policies.SMTP.clone(header_factory=registry)


_POLICY = _policy()


@lru_cache(maxsize=2)
def _templates(html: bool) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("marketplace_api.gateways.email"),
        autoescape=html,  # noqa: S701  off for the plain text, where nothing is markup
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["when"] = _when
    return environment


def _when(moment: datetime) -> str:
    """``21 November 2026, 14:05 UTC``."""
    moment = moment.astimezone(UTC)
    return f"{moment.day} {moment:%B %Y, %H:%M} UTC"


def _address(raw: str) -> Address:
    if any(character in raw for character in "\r\n\0"):
        raise ValueError("an e-mail address cannot hold line breaks")
    name, address = parseaddr(raw)
    local, at, domain = address.rpartition("@")
    if not (local and at and domain):
        raise ValueError("not an e-mail address")
    if not domain.isascii():
        domain = domain.encode("idna").decode()
    return Address(display_name=name, username=local, domain=domain)


def _encoding(text: str) -> str:
    """Readable as it is where the standard allows it: a link in an .eml file stays whole."""
    if max((len(line.encode()) for line in text.splitlines()), default=0) > LONGEST_RAW_LINE:
        return "quoted-printable"
    return "7bit" if text.isascii() else "8bit"
