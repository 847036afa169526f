"""Tokens with something added, over HTTP: 401 or 400, and what the token stands for is as it was."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.orm import Session

from marketplace_api.domain.identity import api_keys
from marketplace_api.domain.kernel.actors import operator
from tests.factories.accounts import People
from tests.support.client import Client

ADDED = ("=", "==", "A", "AA", ".", "\xa0")
ADDED_IN_JSON = (*ADDED, "\n", " ", "\r\n", "\u2028", "\ufeff")
ADA = {"username": "ada", "email": "ada@people.example", "password": "a long enough password"}


@pytest.fixture
def ada(people: People) -> Any:
    answer = people.anonymous().post("/api/auth/register", ADA)
    assert answer.status_int == 201, answer.text
    return answer.json


def test_an_access_token(ada: Any, people: People) -> None:
    token = ada["token"]
    assert Client(people.app, token).get("/api/users/me").status_int == 200
    for added in ADDED:
        refused = Client(people.app, token + added).get("/api/users/me")
        assert (refused.status_int, refused.json["code"]) == (401, "token_invalid"), added
        assert Client(people.app, token + added).get("/api/listings").status_int == 401, "nor as nobody"


def test_a_key_of_a_program(db: Session, people: People) -> None:
    _, key = api_keys.issue(db, operator("test"), name="books", scopes=["events:read"])
    assert Client(people.app, key).get("/api/events").status_int == 200
    for added in ADDED:
        assert Client(people.app, key + added).get("/api/events").status_int == 401, added


def test_a_refresh_token(ada: Any, people: People) -> None:
    client, token = people.anonymous(), ada["refresh_token"]
    for added in ADDED_IN_JSON:
        for sent in (token + added, added + token):
            refused = client.post("/api/auth/refresh", {"refresh_token": sent})
            assert (refused.status_int, refused.json["code"]) == (401, "token_invalid"), ascii(sent)
    assert client.post("/api/auth/refresh", {"refresh_token": token}).status_int == 200
