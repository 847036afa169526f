"""Headers that cannot be used."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from marketplace_api.errors import DomainError
from tests.functional.bad_input.world import GOOD, World
from tests.support.problems import assert_problem

# Media types of bodies.


@pytest.mark.parametrize(
    "media",
    [
        "text/plain",
        "application/xml",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json-patch+json",
        "application/hal+json",
        "nonsense",
        "application/jsonp",
        ", ,",
    ],
)
def test_another_media_type_is_unsupported(world: World, media: str) -> None:
    sent = orjson.dumps(GOOD)
    assert_problem(world.send("POST", "/api/listings", sent, CONTENT_TYPE=media), 415, "unsupported_media_type")
    assert_problem(world.send("PATCH", world.path, sent, CONTENT_TYPE=media), 415, "unsupported_media_type")


def test_a_body_without_a_media_type_is_unsupported(world: World) -> None:
    assert_problem(
        world.send("POST", "/api/listings", orjson.dumps(GOOD), CONTENT_TYPE=None), 415, "unsupported_media_type"
    )


def test_a_merge_patch_is_for_patch_only(world: World) -> None:
    sent = orjson.dumps(GOOD)
    merge = "application/merge-patch+json"
    assert_problem(world.send("POST", "/api/listings", sent, CONTENT_TYPE=merge), 415, "unsupported_media_type")
    assert_problem(world.send("PUT", world.path, sent, CONTENT_TYPE=merge), 415, "unsupported_media_type")


# Headers.


def test_headers_beyond_the_limit_are_refused(world: World) -> None:
    assert_problem(world.send("GET", "/api", HTTP_X_LONG="x" * 40_000), 431, "headers_too_large")
    assert_problem(
        world.send("GET", "/api", token=None, HTTP_AUTHORIZATION="Bearer " + "x" * 40_000), 431, "headers_too_large"
    )
    many: dict[str, Any] = {f"HTTP_X_{n}": "x" * 100 for n in range(400)}
    assert_problem(world.send("GET", "/api", **many), 431, "headers_too_large")


@pytest.mark.parametrize(
    "given",
    [
        "a b c d e f",
        "abcdefgh\r\nSet-Cookie: a=b",
        "abcdefgh\nX: y",
        "<script>alert</script>",
        "x" * 101,
        "short",
        "\x00" * 10,
        "é" * 10,
    ],
)
def test_a_request_id_that_is_no_id_is_replaced(world: World, given: str) -> None:
    response = world.send("GET", "/api/nothing-here", HTTP_X_REQUEST_ID=given)
    body = assert_problem(response, 404, "not_found")
    assert body["request_id"] != given
    assert len(body["request_id"]) == 32
    assert "Set-Cookie" not in response.headers


@pytest.mark.parametrize(
    "accept", ["text/csv", "image/*", "application/xml;q=0.9", "application/json;q=0", "text/html;level=1"]
)
def test_an_answer_that_cannot_be_had_is_not_acceptable(world: World, accept: str) -> None:
    response = world.send("GET", world.path, HTTP_ACCEPT=accept)
    if accept.startswith("text/html"):
        assert response.status_int in (200, 406)
    else:
        assert_problem(response, 406, "not_acceptable")


@pytest.mark.parametrize(
    "accept", [";;;", "application", "*/json", "a/b/c", "\x00", "é/é", "application/json;q=9", "x" * 5000]
)
def test_an_accept_header_that_means_nothing_does_no_harm(world: World, accept: str) -> None:
    response = world.send("GET", world.path, HTTP_ACCEPT=accept)
    if response.status_int != 200:  # a server may ignore such a header (RFC 9110, 12.5.1), or say what it offers
        assert_problem(response, 406, "not_acceptable")


@pytest.mark.parametrize(
    "tag", ["garbage", '"', '""', '"-1.x"', '"1e3.x"', '"９"', '"99999999999999999999.x"', ",,,", "W/", '"\x00"']
)
def test_a_precondition_that_means_nothing_fails(world: World, tag: str) -> None:
    sent = orjson.dumps({"title": "Changed"})
    assert_problem(world.send("PUT", world.path, sent, HTTP_IF_MATCH=tag), 412, "precondition_failed")
    assert_problem(world.send("DELETE", world.path, HTTP_IF_MATCH=tag), 412, "precondition_failed")
    assert world.send("GET", world.path, HTTP_IF_NONE_MATCH=tag).status_int == 200


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "é", "a\x00b", "a\tb"])
def test_an_idempotency_key_that_cannot_be_used_is_refused(world: World, key: str) -> None:
    body = assert_problem(
        world.send("POST", "/api/listings", orjson.dumps(GOOD), HTTP_IDEMPOTENCY_KEY=key), 400, "invalid_input"
    )
    assert [(error["location"], error["name"]) for error in body["errors"]] == [("header", "Idempotency-Key")]


# Hosts. How the servers themselves hand them on is seen in tests/deploy/test_slow_clients.py.


@pytest.mark.parametrize(
    "host", [None, "", "a.example,a.example", "a.example, b.example", "a b", "a/b", "user@a.example"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_one_host_is_needed(world: World, host: str | None, method: str) -> None:
    sent = {"SERVER_PROTOCOL": "HTTP/1.1", "HTTP_HOST": host}
    assert_problem(world.send(method, "/api", **sent), 400, "malformed_request")


@pytest.mark.parametrize("host", ["market.example", "market.example:6543", "127.0.0.1", "[::1]:6543"])
def test_a_host_is_fine(world: World, host: str) -> None:
    assert world.send("GET", "/api", SERVER_PROTOCOL="HTTP/1.1", HTTP_HOST=host).status_int == 200


def test_an_old_client_needs_no_host(world: World) -> None:
    assert world.send("GET", "/api", SERVER_PROTOCOL="HTTP/1.0", HTTP_HOST=None).status_int == 200


def test_what_the_server_refuses_is_told_like_everything_else(world: World) -> None:
    refused = {
        "marketplace.refused": DomainError("The body came too slowly: 2 bytes are here.", code="request_timeout")
    }
    assert_problem(world.send("POST", "/api/listings", **refused), 408, "request_timeout")
