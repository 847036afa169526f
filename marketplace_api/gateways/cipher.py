"""Sealing of short private values with AES-256-GCM, under a key derived from the service's secret."""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

NONCE = 12


class Cipher:
    """Seals and opens bytes; ``purpose`` separates keys, ``context`` binds a value to its place."""

    def __init__(self, secret: str, purpose: str) -> None:
        key = HKDF(SHA256(), 32, salt=None, info=purpose.encode()).derive(secret.encode())
        self._key = AESGCM(key)

    def seal(self, value: bytes, context: bytes) -> bytes:
        nonce = os.urandom(NONCE)
        return nonce + self._key.encrypt(nonce, value, context)

    def open(self, sealed: bytes, context: bytes) -> bytes | None:
        """The value, or ``None`` when it was sealed under another key or for another place."""
        try:
            return self._key.decrypt(sealed[:NONCE], sealed[NONCE:], context)
        except InvalidTag:
            return None
