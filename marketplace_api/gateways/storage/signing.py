"""Addresses of this service that open a private file for a while: an HMAC over key and end."""

from __future__ import annotations

import hashlib
import hmac
import time
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

PATH = "/files/"
STEADY_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class UrlSigner:
    """Makes and checks signed paths; the key is derived from the service's secret."""

    _key: bytes = field(repr=False)

    @classmethod
    def from_secret(cls, secret: str) -> UrlSigner:
        return cls(HKDF(SHA256(), 32, salt=None, info=b"file addresses").derive(secret.encode()))

    def path(self, key: str, seconds: int) -> str:
        """``/files/{key}?expires=…&signature=…``, good for ``seconds`` from now."""
        expires = int(time.time()) + seconds
        return f"{PATH}{key}?expires={expires}&signature={self._signature(key, expires)}"

    def steady_path(self, key: str) -> str:
        """The same, good for one to two hours and the same for an hour, so that what shows it keeps its ETag."""
        expires = (int(time.time()) // STEADY_SECONDS + 2) * STEADY_SECONDS
        return f"{PATH}{key}?expires={expires}&signature={self._signature(key, expires)}"

    def is_valid(self, key: str, expires: int, signature: str) -> bool:
        """Whether ``signature`` is ours for this key and end, and the end (Unix time, seconds) is not yet."""
        genuine = hmac.compare_digest(self._signature(key, expires).encode(), signature.encode("utf-8", "replace"))
        return genuine and time.time() < expires

    def _signature(self, key: str, expires: int) -> str:
        return hmac.new(self._key, f"{key}\n{expires}".encode(), hashlib.sha256).hexdigest()
