"""Settings whose values have a form of their own: signing keys, mail servers; and what is said of a wrong one."""

from __future__ import annotations

import base64
import binascii
import re
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

KEY_BYTES = 32
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
FEWEST_BYTES = 8
"""A key of fewer different bytes was typed, not drawn."""

LOOPBACK = ("localhost", "127.0.0.1", "::1")
NEW_KEY = "Make a key: export JWT_KEYS=$(marketplace-admin keys generate)"
NEW_DOCUMENT_KEY = "Make a key: export DOCUMENT_KEYS=$(marketplace-admin keys generate-document-key)"
NEW_PUSH_KEY = "Make a key: export PUSH_VAPID_KEY=$(marketplace-admin keys generate-push-key)"
SMTP_FORM = "Set it like smtp://user:password@host:587?starttls=1 or smtps://user:password@host."

_KEY_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Mistake(NamedTuple):
    """What is wrong with a setting and what to do about it, each a sentence."""

    problem: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.problem} {self.remedy}".strip()


class SettingsError(ValueError):
    """Settings are missing or wrong; the message names each of them and says what to do."""

    def __init__(self, *mistakes: Mistake | str) -> None:
        self.mistakes = tuple(Mistake(each) if isinstance(each, str) else each for each in mistakes)
        told = [str(mistake) for mistake in self.mistakes]
        super().__init__(told[0] if len(told) == 1 else "\n  ".join([f"{len(told)} settings are wrong:", *told]))


class MailServer(NamedTuple):
    """An SMTP server as ``email.smtp_url`` names it."""

    host: str
    port: int
    username: str
    password: str
    implicit_tls: bool
    starttls: bool


def signing_seeds(setting: str) -> dict[str, bytes]:
    """Seeds of 32 bytes by key id from ``kid:seed,kid2:seed2`` (base64url); raises :class:`SettingsError`, showing no
    seed."""
    return _keys(setting, "JWT_KEYS (auth.jwt_keys)", "seed", NEW_KEY)


def document_keys(setting: str) -> dict[str, bytes]:
    """Key-encryption keys of 32 bytes by id, in order, from ``kid:key,kid2:key2``; raises as :func:`signing_seeds`."""
    called = "DOCUMENT_KEYS (documents.keys)"
    keys = _keys(setting, called, "key", NEW_DOCUMENT_KEY)
    for key_id, key in keys.items():
        if len(set(key)) < FEWEST_BYTES:
            raise SettingsError(Mistake(f"{called}: the key {key_id!r} is no random one.", NEW_DOCUMENT_KEY))
    return keys


def push_key(setting: str) -> bytes:
    """The private key of web push from its base64url, a number below the order of P-256; raises
    :class:`SettingsError`, showing no key."""
    scalar = _decoded(setting)
    if len(scalar) != KEY_BYTES or not 0 < int.from_bytes(scalar, "big") < P256_ORDER:
        raise SettingsError(Mistake("PUSH_VAPID_KEY (push.vapid_key) must be 32 bytes in base64url.", NEW_PUSH_KEY))
    return scalar


def _keys(setting: str, called: str, what: str, remedy: str) -> dict[str, bytes]:
    keys: dict[str, bytes] = {}
    for pair in filter(None, (part.strip() for part in setting.split(","))):
        key_id, _, text = pair.partition(":")
        if not _KEY_ID.fullmatch(key_id):
            raise SettingsError(Mistake(f"{called}: a key id is 1 to 64 of A-Z a-z 0-9 . _ -", remedy))
        if key_id in keys:
            raise SettingsError(Mistake(f"{called} names the key {key_id!r} twice.", "Drop one of them."))
        keys[key_id] = _decoded(text.strip())
        if len(keys[key_id]) != KEY_BYTES:
            told = f"{called}: the {what} of {key_id!r} must be {KEY_BYTES} bytes in base64url."
            raise SettingsError(Mistake(told, remedy))
    if not keys:
        raise SettingsError(Mistake(f"{called} needs at least one kid:{what} pair.", remedy))
    return keys


def _decoded(text: str) -> bytes:
    plain = text.replace("+", "-").replace("/", "_")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""


def mail_server(url: str) -> MailServer:
    """The server of ``smtp://user:password@host:587?starttls=1`` or ``smtps://…``; raises :class:`SettingsError`,
    showing no password."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise SettingsError(Mistake("SMTP_URL (email.smtp_url) is not a valid URL.", SMTP_FORM)) from None
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
        raise SettingsError(Mistake("SMTP_URL (email.smtp_url) names no mail server.", SMTP_FORM))
    implicit = parts.scheme == "smtps"
    starttls = parse_qs(parts.query).get("starttls", ["0"])[-1].lower() in ("1", "true", "yes", "on")
    if parts.username and not (implicit or starttls or parts.hostname in LOOPBACK):
        remedy = "Add ?starttls=1 or use smtps://."
        raise SettingsError(Mistake("SMTP_URL (email.smtp_url) would send its password in clear text.", remedy))
    return MailServer(
        host=parts.hostname,
        port=port or (465 if implicit else 587 if starttls else 25),
        username=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        implicit_tls=implicit,
        starttls=starttls,
    )
