"""What a channel's sender takes and gives; the senders themselves are listed in ``channels``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from sqlalchemy.orm import Session

from marketplace_api.domain.notifications.deliveries import Letter
from marketplace_api.jobs.services import Services


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a letter: ``reference`` is how the provider knows it, ``note`` a code that says why not."""

    status: Literal["sent", "skipped"]
    reference: str | None = None
    note: str | None = None


Sender = Callable[[Session, Letter, Services], Outcome]
"""Sends one letter, and neither commits nor rolls back. Raises Unavailable where it is to be tried again later, and
PermanentDeliveryError where it is useless."""
