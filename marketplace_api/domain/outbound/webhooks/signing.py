"""Secrets of endpoints, and signatures as Standard Webhooks has them (https://www.standardwebhooks.com).

A secret is ``whsec_`` and 32 random bytes in base64. A signature is ``v1,`` and the HMAC-SHA256 of the id, the time and
the body, joined by dots, in base64; while two secrets count there are two, with a space between them.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from collections.abc import Sequence

from marketplace_api.config.settings import Settings
from marketplace_api.gateways.cipher import Cipher

PREFIX = "whsec_"
_BYTES = 32
_CONTEXT = b"webhook"


def cipher(settings: Settings) -> Cipher:
    """What seals the secrets."""
    return Cipher(settings.secret, "webhook secrets")


def new_secret() -> str:
    return PREFIX + base64.b64encode(os.urandom(_BYTES)).decode()


def sealed(settings: Settings, secret: str) -> bytes:
    return cipher(settings).seal(secret.encode(), _CONTEXT)


def opened(settings: Settings, sealed_secrets: Sequence[bytes | None]) -> list[str]:
    """Those of the secrets that can be opened; none after the service's own secret was changed."""
    found = (cipher(settings).open(each, _CONTEXT) for each in sealed_secrets if each is not None)
    return [secret.decode() for secret in found if secret is not None]


def signatures(secrets: Sequence[str], message_id: str, timestamp: int, body: bytes) -> str:
    """The value of ``Webhook-Signature``; ``timestamp`` is in seconds since 1970."""
    return " ".join(f"v1,{_signature(secret, message_id, timestamp, body)}" for secret in secrets)


def _signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    signed = f"{message_id}.{timestamp}.".encode() + body
    return base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
