"""Addresses, query strings and methods that cannot be used."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tests.functional.bad_input.world import GOOD, World
from tests.support.problems import assert_problem, named

# Query strings.

WRONG_QUERIES: list[tuple[str, str, str, str]] = [
    ("page=-1", "invalid_input", "page", "out_of_range"),
    ("page=0", "invalid_input", "page", "out_of_range"),
    ("page=1e3", "invalid_input", "page", "not_an_integer"),
    ("page=1.0", "invalid_input", "page", "not_an_integer"),
    ("page=%EF%BC%91", "invalid_input", "page", "not_an_integer"),
    ("page=+1", "invalid_input", "page", "not_an_integer"),
    ("page=99999999999999999999999", "invalid_input", "page", "not_an_integer"),
    ("page=9223372036854775808", "invalid_input", "page", "out_of_range"),
    ("page=9223372036854775807", "page_too_deep", "page", "page_too_deep"),
    ("page=1001", "page_too_deep", "page", "page_too_deep"),
    ("limit=0", "invalid_input", "limit", "out_of_range"),
    ("limit=101", "invalid_input", "limit", "out_of_range"),
    ("limit=-1", "invalid_input", "limit", "out_of_range"),
    ("limit=all", "invalid_input", "limit", "not_an_integer"),
    ("min_price=NaN", "invalid_input", "min_price", "not_a_number"),
    ("min_price=1e999", "invalid_input", "min_price", "out_of_range"),
    ("max_price=-1", "invalid_input", "max_price", "out_of_range"),
    ("min_price=5&max_price=4", "invalid_input", "min_price", "above_maximum"),
    ("owner=abc", "invalid_input", "owner", "not_an_integer"),
    ("owner=0", "invalid_input", "owner", "out_of_range"),
    ("owner=99999999999999999999", "invalid_input", "owner", "out_of_range"),
    ("verified=maybe", "invalid_input", "verified", "not_a_boolean"),
    ("near=1", "invalid_input", "near", "wrong_format"),
    ("near=1,2,3", "invalid_input", "near", "wrong_format"),
    ("near=91,0", "invalid_input", "near", "out_of_range"),
    ("near=NaN,0", "invalid_input", "near", "not_a_number"),
    ("near=a,b", "invalid_input", "near", "not_a_number"),
    ("radius_km=5", "invalid_input", "near", "required"),
    ("near=1,1&radius_km=0", "invalid_input", "radius_km", "out_of_range"),
    ("near=1,1&radius_km=1e9", "invalid_input", "radius_km", "out_of_range"),
    ("bbox=1,2,3", "invalid_input", "bbox", "wrong_format"),
    ("bbox=1,50,2,40", "invalid_input", "bbox", "not_a_box"),
    ("bbox=1,2,3,inf", "invalid_input", "bbox", "not_a_number"),
    ("sortBy=bogus", "invalid_input", "sortBy", "not_a_choice"),
    ("sortBy=price;DROP", "invalid_input", "sortBy", "not_a_choice"),
    ("sortBy=distance", "invalid_input", "near", "required"),
    ("order=up", "invalid_input", "order", "not_a_choice"),
    ("facets=bogus", "invalid_input", "facets.0", "not_a_choice"),
    ("fields=password_hash", "invalid_input", "fields.0", "not_a_choice"),
    ("embed=reviews.author", "invalid_input", "embed.0", "not_a_choice"),
    ("embed=owner,owner,owner", "invalid_input", "embed", "too_many"),
    ("category=no-such", "invalid_input", "category", "unknown_category"),
    ("search=" + "x" * 201, "invalid_input", "search", "too_long"),
    ("search=%00", "invalid_input", "search", "invalid_characters"),
    ("location=a%00b", "invalid_input", "location", "invalid_characters"),
    ("category=%00", "invalid_input", "category", "invalid_characters"),
    ("amenities=a%00b", "invalid_input", "amenities.0", "invalid_characters"),
    ("cursor=garbage", "invalid_cursor", "cursor", "invalid_cursor"),
    ("cursor=%00", "invalid_input", "cursor", "invalid_characters"),
    ("cursor=" + "A" * 2001, "invalid_input", "cursor", "too_long"),
    ("page=1&page=2", "invalid_input", "page", "repeated"),
    ("search=a&search=b", "invalid_input", "search", "repeated"),
    ("colour=red", "unknown_parameter", "colour", "unknown_parameter"),
    ("_method=DELETE", "unknown_parameter", "_method", "unknown_parameter"),
    ("sortby=price", "unknown_parameter", "sortby", "unknown_parameter"),
    ("page[$gt]=1", "unknown_parameter", "page[$gt]", "unknown_parameter"),
]


@pytest.mark.parametrize(("query", "code", "name", "reason"), WRONG_QUERIES)
def test_a_wrong_parameter_is_named_with_its_reason(
    world: World, query: str, code: str, name: str, reason: str
) -> None:
    body = assert_problem(world.send("GET", f"/api/listings?{query}", token=None), 400, code)
    assert named(body) == {name: reason}
    assert [error["location"] for error in body["errors"]] == ["querystring"]


def test_every_wrong_parameter_is_told_at_once(world: World) -> None:
    body = assert_problem(world.send("GET", "/api/listings?page=0&limit=x&order=up&colour=red"), 400, "invalid_input")
    assert named(body) == {
        "page": "out_of_range",
        "limit": "not_an_integer",
        "order": "not_a_choice",
        "colour": "unknown_parameter",
    }


@pytest.mark.parametrize("query", ["search=%ff", "search=%c3%28", "%ff=1", "search=%ed%a0%80"])
def test_a_query_string_that_is_not_utf_8_is_refused(world: World, query: str) -> None:
    assert_problem(world.send("GET", f"/api/listings?{query}"), 400, "invalid_input")


def test_too_many_parameters_are_refused(world: World) -> None:
    query = "&".join(f"p{n}=1" for n in range(1000))
    assert_problem(world.send("GET", f"/api/listings?{query}"), 400, "invalid_input")


@pytest.mark.parametrize(
    "path", ["/api", "/api/categories", "/api/errors", "/api/auth/login", "/api/users/me/export", "/healthz"]
)
def test_parameters_where_there_are_none_are_unknown(world: World, path: str) -> None:
    assert_problem(world.send("GET", f"{path}?colour=red"), 400, "unknown_parameter")


def test_parameters_of_a_write_are_unknown(world: World) -> None:
    assert_problem(world.send("POST", "/api/listings?dry_run=1", orjson.dumps(GOOD)), 400, "unknown_parameter")
    assert_problem(world.send("DELETE", f"{world.path}?force=1"), 400, "unknown_parameter")


# Paths.

NOWHERE = [
    "/api/listings/0",
    "/api/listings/-1",
    "/api/listings/+1",
    "/api/listings/1e3",
    "/api/listings/1.0",
    "/api/listings/01",
    "/api/listings/9223372036854775807",
    "/api/listings/9223372036854775808",
    "/api/listings/99999999999999999999999",
    "/api/listings/%EF%BC%91",
    "/api/listings/%D9%A1",
    "/api/listings/%C2%B2",
    "/api/listings/abc",
    "/api/listings/1%00",
    "/api/listings/%00",
    "/api/listings/1;DROP",
    "/api/listings/1%2Fpublish%2F2",
    "/api/listings/__proto__",
    "/api/listings/None",
    "/api/listings/%zz",
    "/api/listings/%",
    "/api/listings/%u0031",
    "/api/listings/..%2f..%2fetc%2fpasswd",
    "/api/users/0",
    "/api/users/-1",
    "/api/users/1e3",
    "/api/users/ME",
    "/api/users/99999999999999999999",
    "/api/users/%EF%BC%91",
    "/api/auth/sessions/0",
    "/api/auth/sessions/-1",
    "/api/auth/sessions/99999999999999999999",
    "/api/auth/sessions/%EF%BC%91",
    "/api/errors/nope",
    "/api/errors/%00",
    "/api/rels/nope",
    "/api/rels/..",
    "/api/nothing",
    "/API",
    "/apiary",
    "/api/v2",
    "/api/v1/v1",
    "/admin",
    "/.env",
    "/index.php",
    "/api/listings/1/nothing",
    "/api/users/me/nothing",
    "/static/../../etc/passwd",
]


@pytest.mark.parametrize("path", NOWHERE)
def test_an_address_that_leads_nowhere_is_not_found(world: World, path: str) -> None:
    if path == "/api/listings/1/nothing":
        path = f"{world.path}/nothing"
    methods = ("GET",) if path.startswith(("/api/errors/", "/api/rels/")) else ("GET", "DELETE", "PUT")
    for method in methods:
        assert_problem(world.send(method, path), 404, "not_found")


@pytest.mark.parametrize(
    "path", ["/api/listings/%ff", "/%ff", "/api/%c3%28", "/api/listings/%ed%a0%80", "/api/users/%fe%ff"]
)
def test_an_address_that_is_not_utf_8_is_refused(world: World, path: str) -> None:
    for method in ("GET", "POST", "DELETE"):
        assert_problem(world.send(method, path), 400, "invalid_input")


def test_an_address_beyond_the_limit_is_refused(world: World) -> None:
    assert_problem(world.send("GET", "/api/listings?search=" + "x" * 9_000), 414, "uri_too_long")
    assert_problem(world.send("GET", "/api/" + "x" * 9_000), 414, "uri_too_long")


@pytest.mark.parametrize(
    "path", ["//evil.example/", "///evil.example//", "/\\evil.example/", "//evil.example/%0d%0aSet-Cookie:a=b/"]
)
def test_a_trailing_slash_never_redirects_to_another_host(world: World, path: str) -> None:
    response = world.send("GET", path)
    if response.status_int == 308:
        location = response.headers["Location"]
        assert location.startswith("/") and not location.startswith(("//", "/\\"))
        assert "\r" not in location and "\n" not in location
    else:
        assert_problem(response, 404, "not_found")


# Methods.


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "BREW", "get", "PROPFIND", "E", "G E T", "DELETE, GET", ""])
def test_a_method_that_nothing_knows_is_not_allowed(world: World, method: str) -> None:
    response = world.send(method or "-", world.path, REQUEST_METHOD=method or "-")
    assert_problem(response, 405, "method_not_allowed")
    assert "GET" in response.headers["Allow"]


@pytest.mark.parametrize(
    "environ",
    [{"HTTP_X_HTTP_METHOD_OVERRIDE": "DELETE"}, {"HTTP_X_METHOD_OVERRIDE": "DELETE"}, {"HTTP_X_HTTP_METHOD": "DELETE"}],
)
def test_a_method_cannot_be_smuggled_in(world: World, environ: dict[str, Any]) -> None:
    assert_problem(world.send("POST", world.path, b"{}", **environ), 405, "method_not_allowed")
    assert world.send("GET", world.path, **environ).status_int == 200
    form = world.send("POST", world.path, b"_method=DELETE", CONTENT_TYPE="application/x-www-form-urlencoded")
    assert_problem(form, 405, "method_not_allowed")


def test_a_path_cannot_be_smuggled_in(world: World) -> None:
    hidden: dict[str, Any] = {"HTTP_X_ORIGINAL_URL": "/api/users/me", "HTTP_X_REWRITE_URL": "/api/users/me"}
    assert world.send("GET", "/api/listings", **hidden).json["currentPage"] == 1
