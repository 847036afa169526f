"""Text messages through Twilio's REST API (2010-04-01).

Only ``sms.make_sms`` and the doctor load this, for others need no HTTP client.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

import orjson
import requests

from marketplace_api.config.parsing import LOOPBACK
from marketplace_api.config.settings import Settings
from marketplace_api.errors import Unavailable
from marketplace_api.gateways.errors import PermanentDeliveryError
from marketplace_api.gateways.retry_after import retry_after
from marketplace_api.gateways.sms.base import NumberStopped
from marketplace_api.gateways.sms.hooks import hook_address

CONNECT_SECONDS, READ_SECONDS = 5, 15
MESSAGING_SERVICE = "MG"
STOPPED = 21610
"""Twilio's code for a number whose holder answered STOP."""

# What an operator has to mend, and not the number's fault: the sender is not ours, not able, or not allowed (yet).
_OURS = frozenset({20003, 20404, 21212, 21603, 21606, 21608, 21659, 21660, 21701, 21702, 21703, 21704, 21705})


@dataclass(frozen=True, slots=True)
class TwilioSms:
    """Sends through Twilio, a connection per message.

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
