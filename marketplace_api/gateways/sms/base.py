"""What every sender of text messages can do. No error and no log line of a sender holds a number."""

from __future__ import annotations

from typing import Protocol

from marketplace_api.gateways.errors import PermanentDeliveryError


class NumberStopped(PermanentDeliveryError):
    """The holder of the number wants no messages from us."""


class SmsSender(Protocol):
    """Whatever takes a text message."""

    def send(self, number: str, text: str) -> str:
        """Hand a text over for a number in E.164; returns the provider's reference.

        Raises :class:`marketplace_api.errors.Unavailable` where trying again later is right,
        :class:`NumberStopped` and else :class:`PermanentDeliveryError` where it is not.
        """
