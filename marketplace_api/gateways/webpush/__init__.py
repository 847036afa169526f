"""Notifying browsers: as files for development, or through their push services (RFC 8030); ``push.backend`` chooses."""

from __future__ import annotations

from functools import lru_cache

from marketplace_api import lazy
from marketplace_api.config.settings import Settings
from marketplace_api.gateways.webpush.base import Push, PushSender, SubscriptionGone, Target
from marketplace_api.gateways.webpush.keys import VapidKey, browser_key, browser_secret, generate_key, vapid_key
from marketplace_api.gateways.webpush.local import LocalPush

__all__ = [
    "LocalPush",
    "Push",
    "PushSender",
    "SubscriptionGone",
    "Target",
    "VapidKey",
    "browser_key",
    "browser_secret",
    "generate_key",
    "make_push",
    "vapid_key",
]


@lru_cache(maxsize=8)
def make_push(settings: Settings) -> PushSender:
    """The sender that ``push.backend`` names, one for each process."""
    if settings.push_backend == "vapid":
        # Only who sends pays for it: the library brings an asynchronous HTTP client along.
        vapid = lazy.load("marketplace_api.gateways.webpush.vapid")
        sender: PushSender = vapid.VapidPush.from_settings(settings)
        return sender
    return LocalPush(settings.data_dir / "push")
