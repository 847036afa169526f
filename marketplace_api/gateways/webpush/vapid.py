"""Web push through the push services of the browsers: encrypted (RFC 8291), signed (VAPID, RFC 8292), guarded.

Only ``webpush.make_push`` loads this. The endpoint was chosen by somebody else, so it is only called through
``safe_http``.
"""

from __future__ import annotations

import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import requests
from py_vapid import Vapid
from pywebpush import WebPusher

from marketplace_api.config.parsing import Mistake, SettingsError
from marketplace_api.config.settings import Settings
from marketplace_api.errors import Unavailable
from marketplace_api.gateways import safe_http
from marketplace_api.gateways.errors import PermanentDeliveryError
from marketplace_api.gateways.retry_after import retry_after
from marketplace_api.gateways.ssrf import OutboundRefused
from marketplace_api.gateways.webpush.base import Push, SubscriptionGone, Target, payload_of
from marketplace_api.gateways.webpush.keys import VapidKey, vapid_key

TOKEN_SECONDS = 12 * 3600
"""RFC 8292, section 2, allows a day."""


@dataclass(frozen=True, slots=True)
class VapidPush:
    """Sends through whatever push service the endpoint names; ``contact`` is whom its operator can write to."""

    key: VapidKey = field(repr=False)
    contact: str
    open_session: Callable[[], requests.Session] = field(repr=False)

    @classmethod
    def from_settings(cls, settings: Settings) -> VapidPush:
        """Raises :class:`SettingsError` without a key."""
        key = vapid_key(settings)
        if key is None:
            raise SettingsError(Mistake("PUSH_VAPID_KEY (push.vapid_key) is missing.", "See docs/operations.md."))
        return cls(key, settings.push_contact, lambda: safe_http.session(settings))

    def send(self, target: Target, push: Push) -> None:
        headers = {**self._signature(target.endpoint), "Urgency": push.urgency}
        if push.topic is not None:
            headers["Topic"] = push.topic
        keys = {name: urlsafe_b64encode(getattr(target, name)).decode() for name in ("p256dh", "auth")}
        try:
            with self.open_session() as session:
                pusher = WebPusher({"endpoint": target.endpoint, "keys": keys}, requests_session=session)
                answer = pusher.send(data=payload_of(push), headers=headers, ttl=push.ttl, timeout=None)
        except OutboundRefused:
            raise SubscriptionGone("The endpoint is none that we may call.") from None
        except requests.RequestException as error:
            raise Unavailable(f"The push service does not answer ({type(error).__name__}).") from None
        assert isinstance(answer, requests.Response)
        if answer.status_code not in (200, 201, 202, 204):
            raise _refusal(answer)

    def _signature(self, endpoint: str) -> dict[str, str]:
        parts = urlsplit(endpoint)
        claims = {
            "aud": f"{parts.scheme}://{parts.netloc}",
            "sub": self.contact,
            "exp": int(time.time()) + TOKEN_SECONDS,
        }
        signed: dict[str, str] = Vapid(self.key.private).sign(claims)
        return signed


def _refusal(answer: requests.Response) -> Exception:
    """RFC 8030, sections 5 and 7; a push service that does not know our key says 401 or 403."""
    status = answer.status_code
    if status in (404, 410):
        return SubscriptionGone(f"The browser takes nothing any more ({status}).")
    if status == 429 or status >= 500:
        return Unavailable(f"The push service put it off ({status}).", retry_after=retry_after(answer))
    return PermanentDeliveryError(f"The push service refused the notification ({status}).")
