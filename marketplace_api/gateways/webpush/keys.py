"""The keys of web push: ours, by which push services know us (VAPID, RFC 8292), and those of the browsers."""

from __future__ import annotations

import os
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from functools import lru_cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey, derive_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from marketplace_api.config.parsing import SettingsError, push_key
from marketplace_api.config.settings import Settings

KEY_FILE = "vapid-p256.key"
AUTH_BYTES = 16


class VapidKey:
    """The key by which push services know us; browsers subscribe with its public half."""

    def __init__(self, scalar: bytes) -> None:
        """From the 32 bytes of the private half; raises ``ValueError`` for those that are no key."""
        self.private = derive_private_key(int.from_bytes(scalar, "big"), SECP256R1())
        point = self.private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        self.public = urlsafe_b64encode(point).rstrip(b"=").decode()
        """As browsers want it: ``applicationServerKey``."""

    @classmethod
    def from_setting(cls, setting: str) -> VapidKey:
        """From the text of ``push.vapid_key``; raises :class:`SettingsError`, showing no key."""
        return cls(push_key(setting))

    @classmethod
    def load_or_create(cls, folder: Path) -> VapidKey:
        """The development key kept in ``folder``, made (mode 0600) by whichever process comes first."""
        path = folder / KEY_FILE
        if not path.exists():
            _create(path)
        try:
            return cls.from_setting(path.read_text("ascii").strip())
        except (SettingsError, UnicodeDecodeError) as error:
            raise SettingsError(f"{path} is damaged; remove it to have a new key made.") from error


@lru_cache(maxsize=8)
def vapid_key(settings: Settings) -> VapidKey | None:
    """Our key: the one that is set, in development one under DATA_DIR/keys; ``None`` where there is none."""
    if settings.push_vapid_key:
        return VapidKey.from_setting(settings.push_vapid_key)
    return None if settings.production else VapidKey.load_or_create(settings.data_dir / "keys")


def browser_key(text: str) -> bytes:
    """The public key of a browser from base64url; raises ``ValueError`` for what is no point of P-256."""
    point = _decoded(text)
    EllipticCurvePublicKey.from_encoded_point(SECP256R1(), point)
    if len(point) != 65:
        raise ValueError("a compressed point")
    return point


def browser_secret(text: str) -> bytes:
    """The secret of a browser from base64url; raises ``ValueError`` for what has not 16 bytes."""
    secret = _decoded(text)
    if len(secret) != AUTH_BYTES:
        raise ValueError("of another length")
    return secret


def generate_key() -> str:
    """A new private key in base64url, as ``push.vapid_key`` wants it."""
    while True:
        scalar = secrets.token_bytes(32)
        try:
            VapidKey(scalar)
        except ValueError:  # as rare as a collision of hashes: beyond the order of the curve
            continue
        return urlsafe_b64encode(scalar).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    plain = text.rstrip("=")
    try:
        return urlsafe_b64decode(plain + "=" * (-len(plain) % 4)) if plain.isascii() else b""
    except NotBase64:
        raise ValueError("no base64") from None


def _create(path: Path) -> None:
    """Make the file complete under another name, then link it: nobody reads half of it, and the first one wins."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(generate_key() + "\n")
    try:
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        draft.unlink()
