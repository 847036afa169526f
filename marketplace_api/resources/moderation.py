"""``/api/moderation``: what waits for moderators."""

from __future__ import annotations

from marketplace_api.resources.base import Branch
from marketplace_api.resources.verification import VerificationsContext


class ModerationContext(Branch):
    """``/api/moderation``."""

    children = {"verifications": VerificationsContext}
