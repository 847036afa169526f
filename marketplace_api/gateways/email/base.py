"""What every mailer can do. No error and no log line of a mailer holds an address."""

from __future__ import annotations

from email.message import EmailMessage
from typing import Protocol


class Mailer(Protocol):
    """Whatever takes a finished message."""

    def send(self, message: EmailMessage) -> None:
        """Hand the message over.

        Raises :class:`marketplace_api.errors.Unavailable` where trying again later is right, and
        :class:`marketplace_api.gateways.errors.PermanentDeliveryError` where it is not.
        """
