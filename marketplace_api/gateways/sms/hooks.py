"""What Twilio reports back: the address that it calls, and whether a call is signed by it."""

from __future__ import annotations

import hmac
from base64 import b64encode
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit, urlunsplit

from marketplace_api.config.settings import Settings

HOOK = "/hooks/twilio"
"""Where Twilio tells what became of messages, below the public address."""

_DEFAULT_PORTS = {"http": 80, "https": 443}


def hook_address(settings: Settings) -> str:
    """The address that Twilio is given for what became of messages."""
    return settings.public_url.rstrip("/") + HOOK


def is_signed(auth_token: str, url: str, form: Sequence[tuple[str, str]], signature: str) -> bool:
    """Whether a request of ``form`` to ``url`` was signed by who knows our token, as Twilio does.

    The signature is the HMAC-SHA1 of the address and, in the order of their names, every parameter and its value
    (https://www.twilio.com/docs/usage/security). Twilio writes an address with its port or without it.
    """
    values: dict[str, set[str]] = {}
    for name, value in form:
        values.setdefault(name, set()).add(value)
    content = "".join(f"{name}{value}" for name in sorted(values) for value in sorted(values[name]))
    given = signature.encode("utf-8", "surrogatepass")
    # Every spelling is tried, so that the time tells nothing.
    matches = [
        hmac.compare_digest(b64encode(hmac.digest(auth_token.encode(), (each + content).encode(), "sha1")), given)
        for each in _spellings(url)
    ]
    return bool(auth_token) and any(matches)


def _spellings(url: str) -> Iterator[str]:
    yield url
    parts = urlsplit(url)
    host = (parts.hostname or "") if ":" not in (parts.hostname or "") else f"[{parts.hostname}]"
    port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    for netloc in (host, f"{host}:{port}"):
        yield urlunsplit(parts._replace(netloc=netloc))
