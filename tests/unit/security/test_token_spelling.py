"""Of every token that proves something there is one spelling: whatever is changed in it, added or left out, it is none."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import colander
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from marketplace_api.config.settings import Settings
from marketplace_api.domain.identity.accounts import refresh_tokens
from marketplace_api.domain.identity.accounts.config import AccountRules
from marketplace_api.domain.kernel.tokens import SigningKeys, generate_seed, hash_opaque, new_opaque, read_base64url
from marketplace_api.domain.outbound.notifications import unsubscribe
from marketplace_api.errors import Unauthenticated
from marketplace_api.gateways.storage.signing import UrlSigner
from marketplace_api.schemas.identity.accounts import TOKEN
from marketplace_api.schemas.media.files import FetchFile
from marketplace_api.security.identity import bearer_token

KEYS = SigningKeys.from_setting(f"one:{generate_seed()}")
RULES = AccountRules.from_settings(Settings())
SIGNER = UrlSigner.from_secret("s" * 32)
KEY = f"document-{'0' * 32}.bin"
NONCE = b"n" * 16
OPAQUE = new_opaque()
SIGNED = SIGNER.path(KEY, 86_400).partition("?")[2]


def bearer(token: str) -> bool:
    """As it stands in a header, which has no line breaks and no characters beyond latin-1."""
    request: Any = SimpleNamespace(environ={"HTTP_AUTHORIZATION": f"Bearer {token}"})
    try:
        KEYS.verify(bearer_token(request) or "")
    except Unauthenticated:
        return False
    return True


def refresh(token: str) -> bool:
    try:
        return refresh_tokens.parse(token).was_made(RULES, NONCE)
    except Unauthenticated:
        return False


def once(token: str) -> bool:
    """One that is stored as a hash: for mails, tickets, and the keys of programs."""
    try:
        sent = TOKEN.check(colander.SchemaNode(TOKEN), token)
    except colander.Invalid:
        return False
    return hash_opaque(sent) == hash_opaque(OPAQUE)


def signed(query: str) -> bool:
    pairs = [part.partition("=") for part in query.split("&")]
    try:
        asked = FetchFile().deserialize({name: value for name, _, value in pairs})
    except colander.Invalid:
        return False
    if len({name for name, _, _ in pairs}) < len(pairs) or asked["signature"] is None or asked["expires"] is None:
        return False
    return SIGNER.is_valid(KEY, asked["expires"], asked["signature"])


def unsubscribing(token: str) -> bool:
    return unsubscribe.find("secret", token) is not None


KINDS: dict[str, tuple[str, Callable[[str], bool]]] = {
    "access token": (KEYS.sign(1, 2, datetime.now(UTC), timedelta(days=1)), bearer),
    "refresh token": (refresh_tokens.make(RULES, 7, 3, NONCE), refresh),
    "token of one use": (OPAQUE, once),
    "signed address": (SIGNED, signed),
    "unsubscribing": (unsubscribe.token_for("secret", unsubscribe.Subscription(5, "digest")), unsubscribing),
}
BITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/"
ADDED = [
    "=",
    "==",
    "A",
    "AA",
    "AAAA",
    "\n",
    "\r\n",
    " ",
    "\t",
    "\x00",
    "\xa0",
    "\u2028",
    "\ufeff",
    ".",
    "%3D",
    "%00",
    "é",
    "!",
]


@pytest.mark.parametrize(("token", "is_good"), KINDS.values(), ids=KINDS)
def test_the_token_itself_is_good(token: str, is_good: Callable[[str], bool]) -> None:
    assert is_good(token)


@pytest.mark.parametrize(("token", "is_good"), KINDS.values(), ids=KINDS)
def test_nothing_is_added(token: str, is_good: Callable[[str], bool]) -> None:
    for added in ADDED:
        # White space around the value of a header is no part of it (RFC 9110, 5.5).
        if is_good is not bearer or added.strip(" \t"):
            assert not is_good(token + added), ascii(added)
            assert not is_good(added + token), ascii(added)


@pytest.mark.parametrize(("token", "is_good"), KINDS.values(), ids=KINDS)
@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_nothing_is_changed(token: str, is_good: Callable[[str], bool], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(token)))
    end = data.draw(st.integers(start, min(len(token), start + 3)))
    other = data.draw(st.text(st.sampled_from(BITS), max_size=3) | st.text(max_size=3))
    changed = token[:start] + other + token[end:]
    assume(changed.strip(" \t") != token)
    assert not is_good(changed)


@pytest.mark.parametrize(("token", "is_good"), KINDS.values(), ids=KINDS)
def test_the_last_character_has_no_twin(token: str, is_good: Callable[[str], bool]) -> None:
    """Base64 leaves bits over in it, which decoders pass over."""
    parts = token.split(".") if is_good is bearer else [token]
    for position in range(len(parts)):
        for letter in set(BITS) - {parts[position][-1]}:
            others = [*parts[:position], parts[position][:-1] + letter, *parts[position + 1 :]]
            assert not is_good(".".join(others))


def test_of_bytes_there_is_one_spelling() -> None:
    assert read_base64url("_-8") == b"\xff\xef"
    for other in ("_-8=", "_-9", "/+8", "_-8\n", "_ -8", "_-8é"):
        with pytest.raises(ValueError):
            read_base64url(other)
