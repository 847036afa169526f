"""Access tokens and opaque tokens."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
import time_machine
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from marketplace_api.config.settings import SettingsError
from marketplace_api.domain.kernel import tokens
from marketplace_api.domain.kernel.tokens import SigningKeys
from marketplace_api.errors import Unauthenticated

# Fixed, because they name parametrized tests, which must be the same in every process of a run.
SEED, OTHER_SEED = ("A" * 42 + "E", "B" * 42 + "E")
KEYS = SigningKeys.from_setting(f"one:{SEED}")
NOW = datetime.now(UTC)


def code_of(token: Any, keys: SigningKeys = KEYS) -> str:
    with pytest.raises(Unauthenticated) as caught:
        keys.verify(token)
    return caught.value.code


def private_key(seed: str = SEED) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(base64.urlsafe_b64decode(seed + "="))


def forge(
    claims: dict[str, Any] | None = None,
    *,
    without: str = "",
    key: Any = None,
    algorithm: str = "EdDSA",
    kid: str = "one",
) -> str:
    issued = int(NOW.timestamp())
    body = {
        "iss": tokens.ISSUER,
        "aud": tokens.AUDIENCE,
        "sub": "1",
        "sid": "2",
        "iat": issued,
        "exp": issued + 900,
        **(claims or {}),
    }
    body.pop(without, None)
    return jwt.encode(body, key or private_key(), algorithm=algorithm, headers={"kid": kid})


def segment(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def test_what_is_signed_is_read_back() -> None:
    claims = KEYS.verify(KEYS.sign(7, 2**63 - 1, NOW, timedelta(hours=5)))
    assert (claims.user_id, claims.session_id) == (7, 2**63 - 1)
    assert claims.expires_at == datetime.fromtimestamp(int(NOW.timestamp()) + 18_000, UTC)
    assert KEYS.verify(forge()) == tokens.AccessClaims(1, 2, datetime.fromtimestamp(int(NOW.timestamp()) + 900, UTC))


def test_the_same_moment_gives_the_same_token() -> None:
    assert KEYS.sign(1, 2, NOW) == KEYS.sign(1, 2, NOW)
    assert KEYS.sign(1, 2, NOW) != KEYS.sign(1, 2, NOW, generation=1)


def test_a_token_expires_even_when_it_is_remembered() -> None:
    token = KEYS.sign(1, 2, NOW)
    assert KEYS.verify(token) is KEYS.verify(token)
    with time_machine.travel(NOW + timedelta(minutes=16)):
        assert code_of(token) == "token_expired"
    with time_machine.travel(NOW - timedelta(minutes=5)):  # the database's clock is ahead of ours
        assert KEYS.verify(token).user_id == 1


def test_the_first_key_signs_and_all_verify() -> None:
    both = SigningKeys.from_setting(f" two:{OTHER_SEED} , one:{SEED}, ")
    assert both.verify(KEYS.sign(1, 2, NOW)).user_id == 1
    assert jwt.get_unverified_header(both.sign(1, 2, NOW))["kid"] == "two"
    assert code_of(both.sign(1, 2, NOW)) == "token_invalid"


@pytest.mark.parametrize("without", ["iss", "aud", "sub", "sid", "iat", "exp"])
def test_every_claim_is_needed(without: str) -> None:
    assert code_of(forge(without=without)) == "token_invalid"


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "another"},
        {"aud": "another"},
        {"aud": [1]},
        {"sub": 1},
        {"sub": ""},
        {"sub": "0"},
        {"sub": "-1"},
        {"sub": "01"},
        {"sub": "1.0"},
        {"sub": "١"},
        {"sub": str(2**63)},
        {"sub": "9" * 400},
        {"sid": 2},
        {"sid": None},
        {"sid": str(2**63)},
        {"sid": [1]},
        {"exp": "soon"},
        {"exp": 1e300},
        {"exp": 2**70},
        {"exp": True},
        {"exp": 1.5e9},
        {"exp": None},
        {"iat": "x"},
        {"nbf": 2**40},
    ],
)
def test_wrong_claims_are_refused(claims: dict[str, Any]) -> None:
    assert code_of(forge(claims)) == "token_invalid"


def test_expired_says_so_only_with_a_right_signature() -> None:
    old = {"exp": int(NOW.timestamp()) - 1}
    assert code_of(forge(old)) == "token_expired"
    assert code_of(forge(old, key=private_key(OTHER_SEED))) == "token_invalid"


def test_forged_signatures_are_refused() -> None:
    good = forge()
    header, body, signature = good.split(".")
    public = private_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    raw = private_key().public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    hmac_like = segment({"alg": "HS256", "kid": "one"}) + "." + body
    mac = segment(hmac.digest(public, hmac_like.encode(), hashlib.sha256))
    wrong = [
        forge(key=private_key(OTHER_SEED)),
        forge(kid="two"),
        forge(kid="one\x00"),
        f"{segment({'alg': 'none', 'kid': 'one'})}.{body}.",
        f"{segment({'alg': 'none'})}.{body}.{signature}",
        f"{hmac_like}.{mac}",
        forge(key=raw * 2, algorithm="HS256"),
        f"{header}.{body}.",
        f"{header}.{body}",
        header,
        f"{header}.{segment({'sub': '1'})}.{signature}",
        f"{header}..{signature}",
        f"{good}.",
        f".{good}",
        f"{good}=",
        f"{segment({'alg': 'EdDSA', 'kid': ['one']})}.{body}.{signature}",
        f"{segment({'alg': 'EdDSA'})}.{body}.{signature}",
        f"{segment([1])}.{body}.{signature}",
        f"{segment(b'null')}.{body}.{signature}",
        f"{segment(b'[' * 700)}.a.b",
        f"{segment({'alg': 'EdDSA', 'kid': 'one', 'crit': ['b64'], 'b64': False})}.{body}.{signature}",
    ]
    for token in wrong:
        assert code_of(token) == "token_invalid", token


@pytest.mark.parametrize(
    "token", ["", ".", "..", "...", "x" * 5000, "é.é.é", "\ud800", "a.b.c", None, 5, b"a.b.c", ["a"]]
)
def test_garbage_is_refused(token: Any) -> None:
    assert code_of(token) == "token_invalid"


def test_a_right_token_that_is_too_long_is_refused() -> None:
    assert code_of(forge({"more": "x" * 1000})) == "token_invalid"


@given(token=st.text(max_size=400) | st.lists(st.binary(max_size=60).map(segment), max_size=4).map(".".join))
@settings(max_examples=200, deadline=None)
def test_no_text_raises_anything_else(token: str) -> None:
    assert code_of(token) == "token_invalid"


@pytest.mark.parametrize(
    "setting",
    [
        "",
        " , ",
        "one",
        "one:",
        f"one:{SEED[:-3]}",
        f":{SEED}",
        f"a b:{SEED}",
        f"one:{SEED},one:{SEED}",
        "one:" + "é" * 43,
        "one:" + "*" * 43,
    ],
)
def test_bad_settings_are_named_without_their_seed(setting: str) -> None:
    with pytest.raises(SettingsError) as caught:
        SigningKeys.from_setting(setting)
    assert "JWT_KEYS" in str(caught.value)
    assert SEED not in str(caught.value)


def test_the_development_key_is_made_once_and_kept_to_its_owner(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: SigningKeys.load_or_create(folder), range(16)))
    token = made[0].sign(1, 2, NOW)
    assert all(keys.verify(token).session_id == 2 for keys in made)
    assert [path.name for path in folder.iterdir()] == [tokens.KEY_FILE]
    assert (folder / tokens.KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700


def test_the_file_of_the_development_key_is_closed_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        SigningKeys.load_or_create(tmp_path)
    finally:
        os.umask(before)
    assert (tmp_path / tokens.KEY_FILE).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [b"", b"one:short", b"\xff\xfe"])
def test_a_damaged_key_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / tokens.KEY_FILE).write_bytes(content)
    with pytest.raises(SettingsError, match=tokens.KEY_FILE):
        SigningKeys.load_or_create(tmp_path)


def test_opaque_tokens() -> None:
    token = tokens.new_opaque()
    assert len(token) == 43
    assert token != tokens.new_opaque()
    assert tokens.hash_opaque(token) == hashlib.sha256(token.encode()).digest()
    assert len(tokens.hash_opaque("\ud800é")) == 32
