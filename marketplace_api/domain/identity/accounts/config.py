"""The numbers and the secret that the accounts domain works by, taken from the settings once."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import timedelta

from marketplace_api.config.settings import Settings


@dataclass(frozen=True, slots=True)
class AccountRules:
    """What the settings say about accounts; see the fields of the same names in :class:`Settings`."""

    bcrypt_cost: int
    access_minutes: int
    session_days: int
    erase_days: int
    backoff_free_attempts: int
    email_undo_days: int
    reserved_usernames: tuple[str, ...]
    secret: str = field(repr=False)

    @classmethod
    def from_settings(cls, settings: Settings) -> AccountRules:
        return cls(
            bcrypt_cost=settings.bcrypt_cost,
            access_minutes=settings.access_minutes,
            session_days=settings.session_days,
            erase_days=settings.erase_days,
            backoff_free_attempts=settings.backoff_free_attempts,
            email_undo_days=settings.email_undo_days,
            reserved_usernames=settings.reserved_usernames,
            secret=settings.secret,
        )

    @property
    def access_lifetime(self) -> timedelta:
        return timedelta(minutes=self.access_minutes)

    @property
    def session_lifetime(self) -> timedelta:
        return timedelta(days=self.session_days)

    @property
    def erase_after(self) -> timedelta:
        return timedelta(days=self.erase_days)

    @property
    def email_undo_lifetime(self) -> timedelta:
        return timedelta(days=self.email_undo_days)

    def keyed_hash(self, purpose: str, message: bytes) -> bytes:
        """HMAC-SHA256 of ``message`` under a key that serves ``purpose`` alone (32 bytes)."""
        subkey = hmac.digest(self.secret.encode(), purpose.encode(), hashlib.sha256)
        return hmac.digest(subkey, message, hashlib.sha256)
