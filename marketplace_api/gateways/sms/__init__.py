"""How a text message leaves the house: as a file for development, or through Twilio.

Who gets one is decided in the jobs room. No error and no log line of this module holds a number.
"""

from __future__ import annotations

import hmac
import os
import secrets
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

import orjson

from marketplace_api import lazy
from marketplace_api.config.settings import Settings
from marketplace_api.errors import Unavailable
from marketplace_api.gateways.errors import PermanentDeliveryError

HOOK = "/hooks/twilio"
"""Where Twilio tells what became of messages, below the public address."""

_DEFAULT_PORTS = {"http": 80, "https": 443}


class NumberStopped(PermanentDeliveryError):
    """The holder of the number wants no messages from us."""


class SmsSender(Protocol):
    """Whatever takes a text message."""

    def send(self, number: str, text: str) -> str:
        """Hand a text over for a number in E.164; returns the provider's reference.

        Raises :class:`marketplace_api.errors.Unavailable` where trying again later is right,
        :class:`NumberStopped` and else :class:`PermanentDeliveryError` where it is not.
        """


@lru_cache(maxsize=8)
def make_sms(settings: Settings) -> SmsSender:
    """The sender that ``sms.backend`` names, one for each process."""
    if settings.sms_backend == "twilio":
        # Only who sends pays for the HTTP client.
        twilio = lazy.load("marketplace_api.gateways.sms.twilio")
        sender: SmsSender = twilio.TwilioSms.from_settings(settings)
        return sender
    return LocalSms(settings.data_dir / "sms")


@dataclass(frozen=True, slots=True)
class LocalSms:
    """Writes one JSON file per message into ``folder``; the names sort by time."""

    folder: Path

    def send(self, number: str, text: str) -> str:
        return write_message(self.folder, {"to": number, "text": text})


def write_message(folder: Path, message: Mapping[str, Any]) -> str:
    """A message as a JSON file that nobody else may read, for it may hold a code; returns its name.

    Raises :class:`Unavailable` where the folder cannot be written.
    """
    now = datetime.now(UTC)
    name = f"{now:%Y%m%dT%H%M%S.%fZ}-{secrets.token_hex(4)}"
    unfinished = folder / f".{name}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(orjson.dumps({**message, "date": now}, option=orjson.OPT_INDENT_2))
        unfinished.rename(folder / f"{name}.json")
    except OSError as error:
        with suppress(OSError):
            unfinished.unlink()
        raise Unavailable(f"The folder {folder} cannot be written ({error.strerror}).") from None
    return name


def hook_address(settings: Settings) -> str:
    """The address that Twilio is given for what became of messages."""
    return settings.public_url.rstrip("/") + HOOK


def is_signed(auth_token: str, url: str, form: Sequence[tuple[str, str]], signature: str) -> bool:
    """Whether a request of ``form`` to ``url`` was signed by who knows our token, as Twilio does.

    The signature is the HMAC-SHA1 of the address and, in the order of their names, every parameter and its value
    (https://www.twilio.com/docs/usage/security). Twilio writes an address with its port or without it.
    """
    values: dict[str, set[str]] = {}
    for name, value in form:
        values.setdefault(name, set()).add(value)
    content = "".join(f"{name}{value}" for name in sorted(values) for value in sorted(values[name]))
    given = signature.encode("utf-8", "surrogatepass")
    # Every spelling is tried, so that the time tells nothing.
    matches = [
        hmac.compare_digest(b64encode(hmac.digest(auth_token.encode(), (each + content).encode(), "sha1")), given)
        for each in _spellings(url)
    ]
    return bool(auth_token) and any(matches)


def _spellings(url: str) -> Iterator[str]:
    yield url
    parts = urlsplit(url)
    host = (parts.hostname or "") if ":" not in (parts.hostname or "") else f"[{parts.hostname}]"
    port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    for netloc in (host, f"{host}:{port}"):
        yield urlunsplit(parts._replace(netloc=netloc))
