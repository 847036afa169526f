"""What every refusal looks like on the wire, asserted in one place."""

from __future__ import annotations

from typing import Any

from marketplace_api.hal.problems import CODES

PROBLEM = "application/problem+json"
MEMBERS = {"type", "title", "status", "detail", "code", "request_id", "errors"}
# What would tell an attacker about the inside of the house.
INTERNALS = (
    "Traceback",
    "psycopg",
    "sqlalchemy",
    "colander",
    "orjson",
    "SELECT ",
    "INSERT ",
    "/site-packages/",
    'File "',
)


def assert_problem(response: Any, status: int, code: str) -> dict[str, Any]:
    """The body of ``response``, which must be a complete problem document with this status and code."""
    assert response.status_int == status, f"{response.status_int}, not {status}: {response.text}"
    assert response.headers["Content-Type"] == PROBLEM, response.headers["Content-Type"]
    body: dict[str, Any] = response.json
    assert body.keys() >= MEMBERS, body
    assert (body["status"], body["code"], body["type"]) == (status, code, f"/api/errors/{code}"), body
    assert CODES[code].status == status
    assert body["title"] == CODES[code].title
    assert len(body["detail"]) > 10 and body["detail"].rstrip()[-1] in ".?)", f"no sentence: {body['detail']!r}"
    assert body["request_id"] == response.headers["X-Request-ID"]
    assert response.headers["Cache-Control"] == "no-store"
    for part in INTERNALS:
        assert part not in response.text, f"{part!r} in {response.text}"
    for error in body["errors"]:
        assert error.keys() == {"location", "name", "code", "message"}, error
        assert error["location"] in ("body", "querystring", "path", "header")
        assert error["message"]
    return body


def named(body: dict[str, Any]) -> dict[str, str]:
    """The code of each field error by the field's name."""
    return {error["name"]: error["code"] for error in body["errors"]}
