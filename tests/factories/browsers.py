"""Browsers for tests: with keys of their own, able to read what is pushed to them."""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Any

import http_ece
import jwt
import orjson
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy.orm import Session

from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.outbound.push_subscriptions import subscriptions as push_subscriptions
from marketplace_api.gateways.webpush import Target
from marketplace_api.models.identity.accounts import AccountSession, User
from tests.factories.accounts import open_session
from tests.support.webhook_receiver import Received


@dataclass
class Browser:
    """One browser at the push service ``service``."""

    service: str = "https://push.example.net"
    private: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    auth: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    name: str = field(default_factory=lambda: secrets.token_urlsafe(12))

    @property
    def endpoint(self) -> str:
        return f"{self.service}/send/{self.name}"

    @property
    def p256dh(self) -> bytes:
        return self.private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    @property
    def target(self) -> Target:
        return Target(self.endpoint, self.p256dh, self.auth)

    def subscription(self) -> dict[str, Any]:
        """As ``PushSubscription.toJSON()`` gives it."""
        keys = {"p256dh": _text(self.p256dh), "auth": _text(self.auth)}
        return {"endpoint": self.endpoint, "expirationTime": None, "keys": keys}

    def subscribe(self, session: Session, user: User, opened: AccountSession | None = None) -> int:
        """Let it take the notifications of ``user``, logged in by ``opened`` or by a session of its own."""
        opened = opened or open_session(session, user)
        actor = Actor(user_id=user.user_id, session_id=opened.session_id)
        own = push_subscriptions.Browser(self.endpoint, self.p256dh, self.auth, "Firefox")
        row, _ = push_subscriptions.subscribe(session, actor, own)
        session.commit()
        return int(row.subscription_id)

    def read(self, request: Received) -> Any:
        """What a push says, decrypted as the browser does it (RFC 8291)."""
        assert request.headers["content-encoding"] == "aes128gcm"
        plain = http_ece.decrypt(request.body, private_key=self.private, auth_secret=self.auth, version="aes128gcm")
        return orjson.loads(plain)


def claims_of(request: Received, public_key: str) -> Any:
    """What the VAPID header of a push says, verified as push services do it (RFC 8292)."""
    kind, _, parameters = request.headers["authorization"].partition(" ")
    given = dict(part.strip().split("=", 1) for part in parameters.split(","))
    assert (kind, given["k"]) == ("vapid", public_key)
    point = urlsafe_b64decode(public_key + "=" * (-len(public_key) % 4))
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    return jwt.decode(given["t"], key, algorithms=["ES256"], audience=f"https://{request.headers['host']}")


def subscriptions(session: Session, user: User) -> list[int]:
    """The ids of all subscriptions of ``user``, also of sessions that are over."""
    statement = sa.text("SELECT subscription_id FROM push_subscriptions WHERE user_id = :id ORDER BY 1")
    return list(session.execute(statement, {"id": user.user_id}).scalars())


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()
