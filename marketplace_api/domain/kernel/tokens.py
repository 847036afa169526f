"""Tokens that prove something: signed access tokens (JWT) and opaque random ones, which are stored only as hashes."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from marketplace_api.config.parsing import KEY_BYTES, SettingsError, signing_seeds
from marketplace_api.database.base import BIGINT_MAX
from marketplace_api.errors import Unauthenticated

ISSUER = "marketplace-api"
AUDIENCE = "marketplace-api/access"
ALGORITHM = "EdDSA"
DEFAULT_LIFETIME = timedelta(minutes=15)

# Ours have about 300 characters; more than this is not worth parsing.
MAXIMUM_LENGTH = 1024
REMEMBERED_TOKENS = 4096
KEY_FILE = "jwt-ed25519.key"

_ID = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)
_UNREADABLE = (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)
_OPTIONS: Any = {
    "require": ["iss", "aud", "sub", "sid", "iat", "exp"],
    # Expiry is checked on every use, remembered or not. ``iat`` comes from the database's clock, which may be
    # a moment ahead of this machine's.
    "verify_exp": False,
    "verify_iat": False,
}


@dataclass(frozen=True, slots=True)
class AccessClaims:
    """What a valid access token says: whose it is, which session it belongs to, when it ends (UTC)."""

    user_id: int
    session_id: int
    expires_at: datetime


class SigningKeys:
    """Ed25519 keys by key id: the first signs, all verify, so that keys can be rotated without logging anyone out."""

    def __init__(self, seeds: Mapping[str, bytes]) -> None:
        """Take seeds of 32 bytes by key id, in order; at least one."""
        private = {kid: Ed25519PrivateKey.from_private_bytes(seed) for kid, seed in seeds.items()}
        self.signing_kid = next(iter(private))
        self._signing_key = private[self.signing_kid]
        self._public: dict[str, Ed25519PublicKey] = {kid: key.public_key() for kid, key in private.items()}
        # That a signature is right never changes; checking it takes longer than all the rest of an identity.
        self._remembered = lru_cache(maxsize=REMEMBERED_TOKENS)(self._read)

    @property
    def kids(self) -> tuple[str, ...]:
        """The ids of all keys; the first is the one that signs."""
        return tuple(self._public)

    @classmethod
    def from_setting(cls, setting: str) -> SigningKeys:
        """Keys from ``kid:seed,kid2:seed2`` (base64url of 32 bytes); raises :class:`SettingsError`, showing no seed."""
        return cls(signing_seeds(setting))

    @classmethod
    def load_or_create(cls, folder: Path) -> SigningKeys:
        """The development key kept in ``folder``, made (mode 0600) by whichever process comes first.

        Raises :class:`SettingsError` when the file there is damaged.
        """
        path = folder / KEY_FILE
        if not path.exists():
            _create_key_file(path)
        try:
            return cls.from_setting(path.read_text("ascii"))
        except (SettingsError, UnicodeDecodeError) as error:
            raise SettingsError(f"{path} is damaged; remove it to have a new key made.") from error

    def sign(
        self,
        user_id: int,
        session_id: int,
        now: datetime,
        lifetime: timedelta = DEFAULT_LIFETIME,
        *,
        generation: int = 0,
    ) -> str:
        """An access token (RFC 7519, RFC 8037) for the session, good from ``now`` (aware) for ``lifetime``.

        The same arguments give the same token; ``generation`` tells those of one second apart.
        """
        issued = int(now.timestamp())
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": str(user_id),
            "sid": str(session_id),
            "jti": f"{session_id}.{generation}",
            "iat": issued,
            "exp": issued + int(lifetime.total_seconds()),
        }
        return jwt.encode(claims, self._signing_key, algorithm=ALGORITHM, headers={"kid": self.signing_kid})

    def verify(self, token: str) -> AccessClaims:
        """What ``token`` says, by this machine's clock.

        Raises :class:`Unauthenticated` with the code ``token_expired``, or ``token_invalid`` for everything
        else that can be wrong with it; never another exception. Whether the session still lives is asked
        elsewhere.
        """
        try:
            if len(token) > MAXIMUM_LENGTH or not token.isascii():
                raise ValueError("no token of ours")
            claims = self._remembered(token)
        except _UNREADABLE:
            raise Unauthenticated("The access token is not valid; log in again.", "token_invalid") from None
        if claims.expires_at <= datetime.now(UTC):
            raise Unauthenticated("The access token has expired; refresh it.", "token_expired")
        return claims

    def _read(self, token: str) -> AccessClaims:
        for part in token.split("."):
            read_base64url(part)
        header = jwt.get_unverified_header(token)
        # The key decides the algorithm, never the token.
        key = self._public[header["kid"]]
        claims = jwt.decode(token, key, algorithms=[ALGORITHM], issuer=ISSUER, audience=AUDIENCE, options=_OPTIONS)
        if type(claims["iat"]) is not int or type(claims["exp"]) is not int:
            raise TypeError("a time is no whole number")
        return AccessClaims(_id(claims["sub"]), _id(claims["sid"]), datetime.fromtimestamp(claims["exp"], UTC))


def generate_seed() -> str:
    """A new Ed25519 seed in base64url, as ``auth.jwt_keys`` wants it behind ``kid:``."""
    return base64.urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)).rstrip(b"=").decode("ascii")


def new_opaque() -> str:
    """A random token of 256 bits in base64url; give it away once and store :func:`hash_opaque` of it."""
    return secrets.token_urlsafe(32)


def hash_opaque(token: str) -> bytes:
    """The SHA-256 of a token. It has enough entropy of its own, so neither salt nor slowness is needed."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def read_base64url(text: str) -> bytes:
    """The bytes of base64url without padding (RFC 4648). Raises ``ValueError`` for any but their one spelling.

    Decoders pass over padding, foreign characters and the bits that are left over; a token would have many spellings.
    """
    raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii") != text:
        raise ValueError("not the spelling of these bytes")
    return raw


def _id(value: Any) -> int:
    if not isinstance(value, str) or not _ID.fullmatch(value) or int(value) > BIGINT_MAX:
        raise ValueError("no id")
    return int(value)


def _create_key_file(path: Path) -> None:
    """Make the file complete under another name, then link it: nobody reads half of it, and the first one wins."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"dev-{secrets.token_hex(4)}:{generate_seed()}\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return
    finally:
        draft.unlink()
