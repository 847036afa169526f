"""What a channel's sender takes and gives; the senders themselves are listed in ``channels``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from sqlalchemy.orm import Session

from marketplace_api.domain.outbound.notifications.deliveries import OutboundMessage
from marketplace_api.jobs.services import Services


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a message: ``reference`` is how the provider knows it, ``note`` a code that says why not."""

    status: Literal["sent", "skipped"]
    reference: str | None = None
    note: str | None = None


class RetryLater(Exception):
    """This message is to be tried again later, for a reason that is its receiver's alone: the channel is in order."""


Sender = Callable[[Session, OutboundMessage, Services], Outcome]
"""Sends one message, and neither commits nor rolls back. Raises Unavailable where the channel is out of order, RetryLater
where this message is to be tried again, and PermanentDeliveryError where that is useless."""
