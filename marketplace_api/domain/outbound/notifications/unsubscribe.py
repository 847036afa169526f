"""Switching e-mails off by the link that stands in them, without a log-in (RFC 8058).

The link holds a token that names the account and what the mail was about, under a key that follows from the service's
secret. It is kept nowhere, works any number of times, and is good for nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy.orm import Session

from marketplace_api.database import row_security
from marketplace_api.database.base import BIGINT_MAX
from marketplace_api.domain.identity.accounts import queries
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.kernel.tokens import read_base64url
from marketplace_api.domain.outbound.notifications import preferences
from marketplace_api.domain.outbound.notifications.types import KINDS, NotificationType, is_digested, is_fixed

DIGEST = "digest"
PREFERENCES = "/users/me/notification-preferences"
"""The front end's page where everything is switched on again, by the path of the API."""
_MAC = 16
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Subscription:
    """E-mails of one ``type`` of notification to one account; or, as ``digest``, of all that a digest holds."""

    user_id: int
    type: str

    @property
    def types(self) -> tuple[NotificationType, ...]:
        """The types of notifications whose e-mails these are."""
        if self.type == DIGEST:
            return tuple(type for type in KINDS if is_digested(type))
        return (NotificationType(self.type),)

    @property
    def label(self) -> str:
        """What they are about, for people."""
        return "News of the day" if self.type == DIGEST else KINDS[NotificationType(self.type)].label


def token_for(secret: str, subscription: Subscription) -> str:
    """The token of a link, safe in a URL; ``secret`` is the service's."""
    told = f"{subscription.user_id}.{subscription.type}".encode()
    return base64.urlsafe_b64encode(_mac(secret, told) + told).rstrip(b"=").decode()


def find(secret: str, token: str) -> Subscription | None:
    """What a token is for; ``None`` for one that is not ours."""
    if len(token) > _LONGEST or not token.isascii():
        return None
    try:
        raw = read_base64url(token)
        told = raw[_MAC:].decode()
    except ValueError:
        return None
    if not hmac.compare_digest(raw[:_MAC], _mac(secret, told.encode())):
        return None
    user_id, _, type = told.partition(".")
    # A type may have gone since the mail was sent.
    known = type == DIGEST or type in set(KINDS)
    return Subscription(int(user_id), type) if known and 0 < int(user_id) <= BIGINT_MAX else None


def unsubscribe(session: Session, actor: Actor, subscription: Subscription) -> None:
    """Switch these e-mails off for good; where they are off, or the account is not there any more, nothing happens."""
    user_id = subscription.user_id
    row_security.act_for(session, user_id)
    user, _ = queries.lock_user(session, user_id)
    if user.state == "erased":
        return
    off = {type.value: {"email": False} for type in subscription.types if not is_fixed(type, "email")}
    owner = Actor(user_id=user_id, request_id=actor.request_id)
    preferences.change(session, owner, changes={"types": off})


def _mac(secret: str, told: bytes) -> bytes:
    key = HKDF(SHA256(), 32, salt=None, info=b"unsubscribing").derive(secret.encode())
    return hmac.new(key, told, hashlib.sha256).digest()[:_MAC]
