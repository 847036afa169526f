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
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, urlsplit, urlunsplit

import orjson
import requests

from marketplace_api.errors import Unavailable
from marketplace_api.gateways.email import PermanentDeliveryError
from marketplace_api.gateways.retry_after import retry_after
from marketplace_api.setting_values import LOOPBACK
from marketplace_api.settings import Settings

CONNECT_SECONDS, READ_SECONDS = 5, 15
HOOK = "/hooks/twilio"
"""Where Twilio tells what became of messages, below the public address."""

MESSAGING_SERVICE = "MG"
STOPPED = 21610
"""Twilio's code for a number whose holder answered STOP."""

# What an operator has to mend, and not the number's fault: the sender is not ours, not able, or not allowed (yet).
_OURS = frozenset({20003, 20404, 21212, 21603, 21606, 21608, 21659, 21660, 21701, 21702, 21703, 21704, 21705})
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
        return TwilioSms.from_settings(settings)
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


@dataclass(frozen=True, slots=True)
class TwilioSms:
    """Sends through Twilio's REST API (2010-04-01), a connection per message.

    ``sender`` is a number of ours, a name, or the id of a messaging service (``MG…``). Without a ``callback`` nobody
    tells us what became of a message.
    """

    account_sid: str
    auth_token: str = field(repr=False)
    sender: str
    base_url: str
    callback: str = ""
    timeout: tuple[float, float] = (CONNECT_SECONDS, READ_SECONDS)

    @classmethod
    def from_settings(cls, settings: Settings) -> TwilioSms:
        # Twilio refuses a message altogether whose callback it cannot reach.
        reachable = urlsplit(settings.public_url).hostname not in LOOPBACK
        return cls(
            account_sid=settings.sms_account_sid,
            auth_token=settings.sms_auth_token,
            sender=settings.sms_from,
            base_url=settings.sms_base_url.rstrip("/"),
            callback=hook_address(settings) if reachable else "",
        )

    def send(self, number: str, text: str) -> str:
        kind = "MessagingServiceSid" if self.sender.startswith(MESSAGING_SERVICE) else "From"
        form = {"To": number, kind: self.sender, "Body": text}
        if self.callback:
            form["StatusCallback"] = self.callback
        answer = self._request("POST", "/Messages.json", form)
        if answer.status_code not in (200, 201):
            raise _refusal(answer)
        reference = _document(answer).get("sid")
        if not isinstance(reference, str):
            raise Unavailable("Twilio answered without the id of the message.")
        return reference

    def check(self) -> None:
        """Ask for our account, and send nothing.

        Raises :class:`marketplace_api.errors.Unavailable`: what is in the way, a colon, what to set.
        """
        try:
            answer = self._request("GET", ".json")
        except Unavailable as error:
            raise Unavailable(f"{error.detail.rstrip('.')}: check SMS_BASE_URL, and let the firewall pass.") from None
        if answer.status_code in (401, 403, 404):
            raise Unavailable("Twilio refuses our account: mend SMS_ACCOUNT_SID and SMS_AUTH_TOKEN.")
        if answer.status_code != 200:
            raise Unavailable(f"Twilio answers {answer.status_code}: look again later, and at status.twilio.com.")
        state = _document(answer).get("status")
        if state != "active":
            raise Unavailable(f"The account at Twilio is {state}: look there for the reason.")

    def _request(self, method: str, path: str, form: Mapping[str, str] | None = None) -> requests.Response:
        url = f"{self.base_url}/2010-04-01/Accounts/{quote(self.account_sid, safe='')}{path}"
        try:
            with requests.Session() as session:
                session.trust_env = False  # a .netrc of the machine would replace our password
                session.auth = (self.account_sid, self.auth_token)
                return session.request(method, url, data=form, timeout=self.timeout, allow_redirects=False)
        except requests.RequestException as error:
            # From none: the error holds the address, and with it the account.
            raise Unavailable(f"Twilio does not answer ({type(error).__name__}).") from None


def hook_address(settings: Settings) -> str:
    """The address that Twilio is given for what became of messages."""
    return settings.public_url.rstrip("/") + HOOK


def _document(answer: requests.Response) -> dict[str, Any]:
    try:
        document = orjson.loads(answer.content)
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}


def _refusal(answer: requests.Response) -> Exception:
    """Twilio warns that its codes change: those that are known here decide, else the status does."""
    code = _document(answer).get("code")
    status = answer.status_code
    if code == STOPPED:
        return NumberStopped("The holder of the number has answered STOP.")
    if status == 429 or status >= 500:
        return Unavailable(f"Twilio put the message off ({status}).", retry_after=retry_after(answer))
    if code in _OURS or status in (401, 403, 404):
        return Unavailable(f"Twilio does not let us send ({code or status}); see marketplace-admin doctor.")
    return PermanentDeliveryError(f"Twilio refused the message ({code or status}).")


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
