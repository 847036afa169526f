"""Tokens that are forged, dead or of another scheme."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy.orm import Session

from marketplace_api.domain.kernel.tokens import SigningKeys, generate_seed
from tests.factories.accounts import make_user, open_session
from tests.functional.bad_input.world import GOOD, World
from tests.support.postgres import as_owner
from tests.support.problems import assert_problem

# Tokens.


def _b64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _unsigned(claims: dict[str, Any], header: dict[str, Any]) -> str:
    return f"{_b64(orjson.dumps(header))}.{_b64(orjson.dumps(claims))}."


def _tokens(world: World, session_id: int) -> dict[str, str]:
    """Tokens that look right at first sight, for the owner's own live session."""
    keys: SigningKeys = world.app.registry.signing_keys
    good = world.owner.token or ""
    header = jwt.get_unverified_header(good)
    claims = jwt.decode(good, options={"verify_signature": False})
    public = keys._public[header["kid"]].public_bytes_raw()
    head, payload, signature = good.split(".")
    stranger = Ed25519PrivateKey.generate()
    now = datetime.now(UTC)
    owner_id = world.owner.user.user_id

    def signed(key: Any = stranger, algorithm: str = "EdDSA", **changes: Any) -> str:
        return jwt.encode({**claims, **changes}, key, algorithm=algorithm, headers={"kid": header["kid"]})

    return {
        "garbage": "garbage",
        "dots": "a.b.c",
        "empty parts": "..",
        "alg none": _unsigned(claims, {"alg": "none", "typ": "JWT"}),
        "alg none with the key's id": _unsigned(claims, {"alg": "none", "typ": "JWT", "kid": header["kid"]}),
        "alg NoNe": _unsigned(claims, {"alg": "NoNe", "kid": header["kid"]}),
        "signature removed": f"{head}.{payload}.",
        "signature of something else": f"{head}.{payload}.{signature[:-8]}AAAAAAAA",
        "payload exchanged": f"{head}.{_b64(orjson.dumps({**claims, 'sub': '1'}))}.{signature}",
        "signed by a stranger": signed(),
        "public key as HMAC secret": signed(_b64(public), "HS256"),
        "raw public key as HMAC secret": signed(public, "HS256"),
        "of a removed key": SigningKeys({"removed": base64.urlsafe_b64decode(generate_seed() + "=")}).sign(
            owner_id, session_id, now
        ),
        "kid as a path": _unsigned(claims, {"alg": "EdDSA", "kid": "../../../dev/null"}),
        "kid as a number": _unsigned(claims, {"alg": "EdDSA", "kid": 1}),
        "kid as a list": _unsigned(claims, {"alg": "EdDSA", "kid": []}),
        "header is a list": f"{_b64(b'[]')}.{payload}.{signature}",
        "far too long": good + "A" * 2000,
        "not ASCII": "é" * 20,
        "two tokens": f"{good}, {good}",
        "of another audience": jwt.encode(
            {**claims, "aud": "refresh"}, keys._signing_key, "EdDSA", {"kid": header["kid"]}
        ),
        "without an end": jwt.encode(
            {k: v for k, v in claims.items() if k != "exp"}, keys._signing_key, "EdDSA", {"kid": header["kid"]}
        ),
        "end as text": jwt.encode({**claims, "iat": 1.5}, keys._signing_key, "EdDSA", {"kid": header["kid"]}),
        "subject beyond bigint": jwt.encode(
            {**claims, "sub": "9" * 30}, keys._signing_key, "EdDSA", {"kid": header["kid"]}
        ),
    }


def test_a_forged_token_is_never_taken_and_never_counts_as_nobody(world: World) -> None:
    claims = jwt.decode(world.owner.token or "", options={"verify_signature": False})
    for kind, token in _tokens(world, int(claims["sid"])).items():
        for method, path in (("GET", world.path), ("GET", "/api"), ("POST", "/api/listings"), ("DELETE", world.path)):
            response = world.send(method, path, orjson.dumps(GOOD) if method == "POST" else b"", token=token)
            assert response.status_int == 401, f"{kind}: {response.status_int} at {method} {path}"
            assert_problem(response, 401, "token_invalid")
            assert response.headers["WWW-Authenticate"].startswith("Bearer error=")


def test_an_expired_token_says_so(world: World) -> None:
    claims = jwt.decode(world.owner.token or "", options={"verify_signature": False})
    past = datetime.now(UTC) - timedelta(hours=1)
    token = world.app.registry.signing_keys.sign(world.owner.user.user_id, int(claims["sid"]), past)
    assert_problem(world.send("GET", world.path, token=token), 401, "token_expired")


def test_a_token_of_another_account_s_session_is_dead(world: World, db: Session) -> None:
    other = make_user(db)
    opened = open_session(db, other)
    db.commit()
    try:
        keys, now = world.app.registry.signing_keys, datetime.now(UTC)
        for user_id, session_id in (
            (world.owner.user.user_id, opened.session_id),
            (other.user_id, 10**15),
            (10**15, opened.session_id),
        ):
            token = keys.sign(user_id, session_id, now)
            assert_problem(world.send("GET", world.path, token=token), 401, "session_ended")
    finally:
        with as_owner(db):
            db.delete(opened)
            db.delete(other)
            db.flush()
        db.commit()


@pytest.mark.parametrize(
    "header", ["Basic dXNlcjpwYXNz", "Bearer", "Bearer ", "Digest x", "token", "Bearer\x00x", "bearer,", "\xff"]
)
def test_another_scheme_is_refused_with_the_right_one(world: World, header: str) -> None:
    response = world.send("GET", "/api", token=None, HTTP_AUTHORIZATION=header)
    assert_problem(response, 401, "token_invalid")
    assert "Bearer" in response.headers["WWW-Authenticate"]
