"""What every sender of web push can do, and what it is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from marketplace_api.gateways.errors import PermanentDeliveryError

MOST_BYTES = 3000
"""A push service takes 4,096 bytes of what is encrypted (RFC 8030, section 7.2); some take less."""


class SubscriptionGone(PermanentDeliveryError):
    """The browser takes nothing any more: nobody shall send there again."""


@dataclass(frozen=True, slots=True)
class Target:
    """A browser: where to send, its public key (65 bytes) and the secret that it shares with us (16)."""

    endpoint: str = field(repr=False)
    p256dh: bytes = field(repr=False)
    auth: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Push:
    """``payload`` is what the browser's worker gets; of those with the same ``topic`` that wait the last one stays.

    ``ttl`` are the seconds that it may wait; ``urgency`` is ``very-low``, ``low``, ``normal`` or ``high``.
    """

    payload: Mapping[str, Any]
    ttl: int
    urgency: str
    topic: str | None = None


class PushSender(Protocol):
    """Whatever takes a notification for a browser."""

    def send(self, target: Target, push: Push) -> None:
        """Hand it over.

        Raises :class:`marketplace_api.errors.Unavailable` (``retry_after`` where it was told) where trying again later
        is right, :class:`SubscriptionGone` and else :class:`PermanentDeliveryError` where it is not.
        """


def payload_of(push: Push) -> bytes:
    """The payload as it is encrypted; raises :class:`PermanentDeliveryError` for one that no push service takes."""
    content = orjson.dumps(push.payload)
    if len(content) > MOST_BYTES:
        raise PermanentDeliveryError(f"The notification has {len(content)} bytes; {MOST_BYTES} are the most.")
    return content
