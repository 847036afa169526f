"""Sending text messages: as files for development, or through Twilio; ``sms.backend`` chooses.

Who gets one is decided in ``jobs/``.
"""

from __future__ import annotations

from functools import lru_cache

from marketplace_api import lazy
from marketplace_api.config.settings import Settings
from marketplace_api.gateways.sms.base import NumberStopped, SmsSender
from marketplace_api.gateways.sms.hooks import HOOK, hook_address, is_signed
from marketplace_api.gateways.sms.local import LocalSms

__all__ = ["HOOK", "LocalSms", "NumberStopped", "SmsSender", "hook_address", "is_signed", "make_sms"]


@lru_cache(maxsize=8)
def make_sms(settings: Settings) -> SmsSender:
    """The sender that ``sms.backend`` names, one for each process."""
    if settings.sms_backend == "twilio":
        # Only who sends pays for the HTTP client.
        twilio = lazy.load("marketplace_api.gateways.sms.twilio")
        sender: SmsSender = twilio.TwilioSms.from_settings(settings)
        return sender
    return LocalSms(settings.data_dir / "sms")
