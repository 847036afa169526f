"""The middleware: headers for browsers, CORS, request ids."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from marketplace_api.app import configure
from marketplace_api.config.settings import Settings
from tests.conftest import CurrentDatabases
from tests.factories.accounts import People
from tests.support.client import Client

FRONT_END = "https://shop.example"


@pytest.fixture
def configured_with(app: object, settings: Settings, configured: tuple[object, CurrentDatabases]) -> Callable[..., Any]:
    """Makes an application of its own with other settings, on the test's databases."""

    def make(**changes: Any) -> Any:
        return configure(replace(settings, **changes), configured[1]).make_wsgi_app()  # type: ignore[arg-type]

    return make


# Security headers.


def test_every_answer_tells_browsers_to_be_careful(client: Client, people: People) -> None:
    for answer in (
        client.get("/api"),
        client.get("/api/nothing"),
        client.get("/api/users/me"),
        client.post("/api/auth/login", {}),
        client.request("OPTIONS", "/api"),
        client.get("/healthz"),
        client.get("/api/listings/"),
        client.request("DELETE", "/api"),
        client.get("/api", If_None_Match="*"),
        client.get("/api?" + "x" * 9000),
        client.get("/metrics"),
    ):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert "Strict-Transport-Security" not in answer.headers
        assert "Server" not in answer.headers and "X-Powered-By" not in answer.headers


def test_https_is_demanded_in_production_only(configured_with: Callable[..., Any]) -> None:
    production = Client(configured_with(environment="production"))
    for path in ("/api", "/api/nothing", "/healthz"):
        assert re.fullmatch(
            r"max-age=\d{7,}; includeSubDomains", production.get(path).headers["Strict-Transport-Security"]
        )


# CORS.


def test_only_the_front_ends_of_the_list_may_read(configured_with: Callable[..., Any], client: Client) -> None:
    open_to_one = Client(configured_with(cors_origins=(FRONT_END, "https://admin.example")))
    for path in ("/api", "/api/nothing", "/api/users/me"):
        allowed = open_to_one.get(path, Origin=FRONT_END)
        assert allowed.headers["Access-Control-Allow-Origin"] == FRONT_END
        assert "ETag" in allowed.headers["Access-Control-Expose-Headers"]
        assert "Access-Control-Allow-Credentials" not in allowed.headers
        for foreign in (
            "https://evil.example",
            "null",
            "https://shop.example.evil.example",
            "http://shop.example",
            FRONT_END.upper(),
        ):
            answer = open_to_one.get(path, Origin=foreign)
            assert not [name for name in answer.headers if name.lower().startswith("access-control")]
            assert "Origin" in answer.headers["Vary"]
    assert "Access-Control-Allow-Origin" not in client.get("/api", Origin=FRONT_END).headers


def test_a_preflight_is_answered_without_asking_who_it_is(configured_with: Callable[..., Any]) -> None:
    client = Client(configured_with(cors_origins=(FRONT_END,)))
    for path in ("/api/listings", "/api/users/me", "/api/nothing"):
        headers = {
            "Origin": FRONT_END,
            "Access-Control-Request-Method": "PUT",
            "Access-Control-Request-Headers": "authorization",
        }
        allowed = client.request("OPTIONS", path, headers=headers)
        assert (allowed.status_int, allowed.body) == (204, b"")
        assert allowed.headers["Access-Control-Allow-Origin"] == FRONT_END
        assert {"PUT", "PATCH", "DELETE"} <= set(allowed.headers["Access-Control-Allow-Methods"].split(", "))
        wanted = {"Authorization", "If-Match", "Idempotency-Key", "Content-Type", "Prefer"}
        assert wanted <= set(allowed.headers["Access-Control-Allow-Headers"].split(", "))
        refused = client.request("OPTIONS", path, headers={**headers, "Origin": "https://evil.example"})
        assert not [name for name in refused.headers if name.lower().startswith("access-control")]


# Request ids.


def test_a_request_id_is_taken_or_made(client: Client) -> None:
    given = client.get("/api/nothing", X_Request_ID="my-trace:0001/a")
    assert given.headers["X-Request-ID"] == given.json["request_id"] == "my-trace:0001/a"
    made = {client.get("/api").headers["X-Request-ID"] for _ in range(3)}
    assert len(made) == 3 and all(re.fullmatch(r"[0-9a-f]{32}", each) for each in made)
