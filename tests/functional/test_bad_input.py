"""What no honest client sends: each answer is a problem document, nothing is written, nothing crashes."""

from __future__ import annotations

import base64
import io
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote_to_bytes
from wsgiref.util import setup_testing_defaults

import jwt
import orjson
import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy.orm import Session
from webob import Response

from marketplace_api.db import Base
from marketplace_api.domain.tokens import SigningKeys, generate_seed
from tests.client import Client
from tests.factories.accounts import People, make_user, open_session
from tests.factories.listings import make_listing
from tests.problems import assert_problem, named

MEGABYTE = 1024 * 1024
GOOD = {"title": "Lamp", "description": "Bright.", "category": "furniture", "price": 5, "currency": "EUR"}


class World:
    """An owner with a listing, and the application to send things to."""

    def __init__(self, app: Any, owner: Client, listing_id: int) -> None:
        self.app, self.owner, self.listing_id = app, owner, listing_id
        self.path = f"/api/listings/{listing_id}"

    def send(self, method: str, path: str, body: bytes = b"", *, token: str | None = "", **environ: Any) -> Response:
        """One WSGI request as it comes from a server, without a client library that would tidy it up.

        ``token`` is the owner's by default, and nobody's when ``None``. A ``None`` in ``environ`` removes the key.
        """
        raw_path, _, query = path.partition("?")
        sent: dict[str, Any] = {}
        setup_testing_defaults(sent)
        sent |= {
            "REQUEST_METHOD": method,
            "PATH_INFO": _decoded(raw_path),
            "QUERY_STRING": query,
            "REMOTE_ADDR": "127.0.0.1",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
        }
        if body:
            sent["CONTENT_TYPE"] = "application/json"
        if token is not None:
            sent["HTTP_AUTHORIZATION"] = f"Bearer {token or self.owner.token}"
        sent |= {name.replace("wsgi_", "wsgi.", 1): value for name, value in environ.items()}
        return self._answer({name: value for name, value in sent.items() if value is not None})

    def _answer(self, environ: dict[str, Any]) -> Response:
        begun: dict[str, Any] = {}
        parts = self.app(environ, lambda status, headers, _error=None: begun.update(status=status, headers=headers))
        return Response(status=begun["status"], headerlist=begun["headers"], body=b"".join(parts))


def _decoded(path: str) -> str:
    """A path as WSGI servers hand it on: percent-decoded bytes as Latin-1, what cannot be decoded left as it is."""
    return unquote_to_bytes(path).decode("latin-1")


@pytest.fixture
def world(app: Any, db: Session, people: People) -> World:
    owner = people.customer()
    return World(app, owner, make_listing(db, owner.user).listing_id)


def _rows(db: Session) -> dict[str, int]:
    """How many rows each of our tables has."""
    return {
        table.name: db.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
        for table in Base.metadata.sorted_tables
    }


@pytest.fixture(autouse=True)
def harmless(world: World, db: Session, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever a test of this file sends leaves every table as it was and no crash in the log."""
    caplog.set_level(logging.INFO)
    before = _rows(db)
    row = db.execute(sa.text("SELECT * FROM listings WHERE listing_id = :id"), {"id": world.listing_id}).one()
    yield
    db.expire_all()
    assert _rows(db) == before
    assert db.execute(sa.text("SELECT * FROM listings WHERE listing_id = :id"), {"id": world.listing_id}).one() == row
    crashes = [record.getMessage() for record in caplog.get_records("call") if record.levelno >= logging.WARNING]
    assert crashes == []


# Bodies that are not one JSON object.

NOT_JSON = {
    "cut off": b'{"title": "Lamp"',
    "single quotes": b"{'title': 'Lamp'}",
    "trailing comma": b'{"title": "Lamp",}',
    "two documents": b'{"title": "Lamp"} {}',
    "comment": b'{"title": "Lamp" /* mine */}',
    "NaN": b'{"price": NaN}',
    "Infinity": b'{"price": Infinity}',
    "1e999": b'{"price": 1e999}',
    "10 to the 400": b'{"price": 1' + b"0" * 400 + b"}",
    "bytes that are no UTF-8": b'{"title": "\xff\xfe"}',
    "raw surrogate": b'{"title": "\xed\xa0\x80"}',
    "escaped lone surrogate": b'{"title": "\\ud800"}',
    "escaped lone low surrogate": b'{"title": "\\udc00 lamp"}',
    "raw NUL": b'{"title": "a\x00b"}',
    "UTF-16": '{"title": "Lamp"}'.encode("utf-16"),
    "byte order mark": b'\xef\xbb\xbf{"title": "Lamp"}',
    "array": b"[]",
    "array of objects": b'[{"title": "Lamp"}]',
    "null": b"null",
    "number": b"5",
    "text": b'"Lamp"',
    "form": b"title=Lamp&price=5",
    "nested 50 deep": b'{"location": ' * 50 + b"{}" + b"}" * 50,
    "nested lists 50 deep": b'{"amenities": ' + b"[" * 50 + b"]" * 50 + b"}",
    "nested 100,000 deep": b"[" * 100_000,
    "the same key twice": b'{"title": "Lamp", "title": "Chair", "category": "furniture", "price": 5}',
    "the same key twice inside": b'{"title": "Lamp", "price": 5, "location": {"city": "A", "city": "B"}}',
}


@pytest.mark.parametrize("raw", NOT_JSON.values(), ids=NOT_JSON.keys())
def test_a_body_that_is_not_one_json_object_is_refused(world: World, raw: bytes) -> None:
    assert_problem(world.send("POST", "/api/listings", raw), 400, "malformed_body")
    assert_problem(world.send("PUT", world.path, raw), 400, "malformed_body")
    assert_problem(world.send("POST", "/api/auth/login", raw, token=None), 400, "malformed_body")


def test_an_empty_body_is_told_what_is_missing(world: World) -> None:
    body = assert_problem(world.send("POST", "/api/listings"), 400, "invalid_input")
    assert named(body) == {"title": "required", "category": "required", "price": "required"}
    assert named(assert_problem(world.send("POST", "/api/auth/register", token=None), 400, "invalid_input")) == {
        "username": "required",
        "email": "required",
        "password": "required",
    }


# JSON objects whose values are wrong.

WRONG_VALUES: list[tuple[str, Any, str, str]] = [
    ("title", 5, "title", "not_text"),
    ("title", None, "title", "not_text"),
    ("title", ["Lamp"], "title", "not_text"),
    ("title", {"en": "Lamp"}, "title", "not_text"),
    ("title", True, "title", "not_text"),
    ("title", "", "title", "too_short"),
    ("title", " \t\n ", "title", "too_short"),
    ("title", "x" * 256, "title", "too_long"),
    ("title", "a\x00b", "title", "invalid_characters"),
    ("description", "x" * 20_001, "description", "too_long"),
    ("description", "a\x00b", "description", "invalid_characters"),
    ("category", "no-such-category", "category", "unknown_category"),
    ("category", "a\x00b", "category", "invalid_characters"),
    ("category", 1, "category", "not_text"),
    ("price", None, "price", "not_a_number"),
    ("price", True, "price", "not_a_number"),
    ("price", "five", "price", "not_a_number"),
    ("price", "", "price", "not_a_number"),
    ("price", "NaN", "price", "not_a_number"),
    ("price", "sNaN", "price", "not_a_number"),
    ("price", "-Infinity", "price", "not_a_number"),
    ("price", "1e999", "price", "out_of_range"),
    ("price", "1e-999", "price", "too_precise"),
    ("price", "9" * 400, "price", "not_a_number"),
    ("price", "1_000", "price", "not_a_number"),
    ("price", "１２", "price", "not_a_number"),
    ("price", "5 EUR", "price", "not_a_number"),
    ("price", -1, "price", "out_of_range"),
    ("price", -0.01, "price", "out_of_range"),
    ("price", 10**10, "price", "out_of_range"),
    ("price", 10**300, "price", "out_of_range"),
    ("price", 1.999, "price", "too_precise"),
    ("price", [5], "price", "not_a_number"),
    ("price", {"amount": 5}, "price", "not_a_number"),
    ("currency", "XXX", "currency", "unknown_currency"),
    ("currency", "eur", "currency", "unknown_currency"),
    ("currency", "EURO", "currency", "too_long"),
    ("currency", 978, "currency", "not_text"),
    ("location", "Berlin", "location", "not_an_object"),
    ("location", ["Berlin"], "location", "not_an_object"),
    ("location", {"planet": "Mars"}, "location.planet", "unknown_field"),
    ("location", {"city": 5}, "location.city", "not_text"),
    ("location", {"city": "a\x00b"}, "location.city", "invalid_characters"),
    ("location", {"latitude": 91, "longitude": 0}, "location.latitude", "out_of_range"),
    ("location", {"latitude": 0, "longitude": -180.5}, "location.longitude", "out_of_range"),
    ("location", {"latitude": "north", "longitude": 0}, "location.latitude", "not_a_number"),
    ("location", {"latitude": 52.5}, "location", "half_a_position"),
    ("photos_urls", "https://photos.example/1.jpg", "photos_urls", "not_a_list"),
    ("photos_urls", ["javascript:alert(1)"], "photos_urls.0", "wrong_format"),
    ("photos_urls", ["https://a.example/1.jpg", "file:///etc/passwd"], "photos_urls.1", "wrong_format"),
    ("photos_urls", ["https://"], "photos_urls.0", "too_short"),
    ("photos_urls", [None], "photos_urls.0", "not_text"),
    ("photos_urls", [f"https://photos.example/{n}.jpg" for n in range(25)], "photos_urls", "too_many"),
    ("amenities", "lights", "amenities", "not_a_list"),
    ("amenities", {"lights": True}, "amenities", "not_a_list"),
    ("amenities", [1], "amenities.0", "not_text"),
    ("amenities", ["a\x00b"], "amenities.0", "invalid_characters"),
    ("amenities", ["x" * 61], "amenities.0", "too_long"),
    ("amenities", [str(n) for n in range(51)], "amenities", "too_many"),
    ("status", "sold", "status", "not_a_choice"),
    ("status", "suspended", "status", "not_a_choice"),
    ("status", None, "status", "not_a_choice"),
    ("status", ["active"], "status", "not_a_choice"),
    ("colour", "red", "colour", "unknown_field"),
    ("__proto__", {}, "__proto__", "unknown_field"),
    ("", 1, "", "unknown_field"),
    ("x" * 5000, 1, "x" * 60, "unknown_field"),
    ("a\x00b", 1, "a\x00b", "unknown_field"),
]


@pytest.mark.parametrize(("field", "value", "name", "code"), WRONG_VALUES)
def test_a_wrong_value_is_named_with_its_reason(world: World, field: str, value: Any, name: str, code: str) -> None:
    sent = json.dumps({**GOOD, field: value}).encode()
    body = assert_problem(world.send("POST", "/api/listings", sent), 400, "invalid_input")
    assert named(body) == {name: code}
    assert [error["location"] for error in body["errors"]] == ["body"]


@pytest.mark.parametrize("value", ["a\x00b", 5, None, [], {}, True])
@pytest.mark.parametrize("field", ["username", "email", "password"])
def test_registration_takes_only_text(world: World, field: str, value: Any) -> None:
    account = {"username": "newcomer", "email": "newcomer@people.example", "password": "correct horse battery"}
    body = assert_problem(
        world.send("POST", "/api/auth/register", orjson.dumps({**account, field: value}), token=None),
        400,
        "invalid_input",
    )
    assert list(named(body)) == [field]


def test_a_hundred_thousand_unknown_fields_are_refused_with_a_short_answer(world: World) -> None:
    sent = orjson.dumps({**GOOD, **{f"f{n}": 1 for n in range(60_000)}})
    assert len(sent) < MEGABYTE
    response = world.send("POST", "/api/listings", sent)
    assert_problem(response, 400, "invalid_input")
    assert len(response.body) < 20_000


# Sizes.


def test_a_body_beyond_the_limit_is_refused_by_its_length_alone(world: World) -> None:
    for method, path in (("POST", "/api/listings"), ("PUT", world.path), ("PATCH", world.path)):
        assert_problem(world.send(method, path, b" " * (5 * MEGABYTE)), 413, "body_too_large")
    assert_problem(world.send("POST", "/api/auth/login", b"x" * (5 * MEGABYTE), token=None), 413, "body_too_large")


def test_a_body_without_a_length_is_read_up_to_the_limit_only(world: World) -> None:
    stream = io.BytesIO(b'{"title": "' + b"x" * (5 * MEGABYTE) + b'"}')
    response = world.send(
        "POST", "/api/listings", b"-", CONTENT_LENGTH=None, wsgi_input_terminated=True, wsgi_input=stream,
        HTTP_TRANSFER_ENCODING="chunked",
    )  # fmt: skip
    assert_problem(response, 413, "body_too_large")
    assert stream.tell() <= 2 * MEGABYTE


@pytest.mark.parametrize("length", ["abc", "-1", "1e3", "９", "99999999999999999999"])
def test_a_nonsensical_content_length_is_refused(world: World, length: str) -> None:
    response = world.send("POST", "/api/listings", orjson.dumps({**GOOD, "price": -1}), CONTENT_LENGTH=length)
    assert response.status_int in (400, 413)
    assert_problem(response, response.status_int, response.json["code"])


def test_a_body_that_ends_too_soon_is_refused(world: World) -> None:
    whole = orjson.dumps(GOOD)
    response = world.send("POST", "/api/listings", whole, CONTENT_LENGTH=str(len(whole) + 100))
    assert_problem(response, 400, "malformed_body")


def test_a_body_longer_than_it_says_is_cut_and_refused(world: World) -> None:
    assert_problem(world.send("POST", "/api/listings", orjson.dumps(GOOD), CONTENT_LENGTH="10"), 400, "malformed_body")


# Media types of bodies.


@pytest.mark.parametrize(
    "media",
    ["text/plain", "application/xml", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
     "application/json-patch+json", "application/hal+json", "nonsense", "application/jsonp", ", ,"],
)  # fmt: skip
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
    ["a b c d e f", "abcdefgh\r\nSet-Cookie: a=b", "abcdefgh\nX: y", "<script>alert</script>", "x" * 101, "short",
        "\x00" * 10, "é" * 10],
)  # fmt: skip
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
    "/api/listings/0", "/api/listings/-1", "/api/listings/+1", "/api/listings/1e3", "/api/listings/1.0",
    "/api/listings/01",
    "/api/listings/9223372036854775807", "/api/listings/9223372036854775808", "/api/listings/99999999999999999999999",
    "/api/listings/%EF%BC%91", "/api/listings/%D9%A1", "/api/listings/%C2%B2", "/api/listings/abc",
    "/api/listings/1%00",
    "/api/listings/%00", "/api/listings/1;DROP", "/api/listings/1%2Fpublish%2F2", "/api/listings/__proto__",
    "/api/listings/None",
    "/api/listings/%zz", "/api/listings/%", "/api/listings/%u0031", "/api/listings/..%2f..%2fetc%2fpasswd",
    "/api/users/0", "/api/users/-1", "/api/users/1e3", "/api/users/ME", "/api/users/99999999999999999999",
    "/api/users/%EF%BC%91",
    "/api/auth/sessions/0", "/api/auth/sessions/-1", "/api/auth/sessions/99999999999999999999",
    "/api/auth/sessions/%EF%BC%91",
    "/api/errors/nope", "/api/errors/%00", "/api/rels/nope", "/api/rels/..", "/api/nothing", "/API", "/apiary",
    "/api/v2", "/api/v1/v1",
    "/admin", "/.env", "/index.php", "/api/listings/1/nothing", "/api/users/me/nothing", "/static/../../etc/passwd",
]  # fmt: skip


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
)  # fmt: skip
def test_a_method_cannot_be_smuggled_in(world: World, environ: dict[str, Any]) -> None:
    assert_problem(world.send("POST", world.path, b"{}", **environ), 405, "method_not_allowed")
    assert world.send("GET", world.path, **environ).status_int == 200
    form = world.send("POST", world.path, b"_method=DELETE", CONTENT_TYPE="application/x-www-form-urlencoded")
    assert_problem(form, 405, "method_not_allowed")


def test_a_path_cannot_be_smuggled_in(world: World) -> None:
    hidden: dict[str, Any] = {"HTTP_X_ORIGINAL_URL": "/api/users/me", "HTTP_X_REWRITE_URL": "/api/users/me"}
    assert world.send("GET", "/api/listings", **hidden).json["currentPage"] == 1


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
        db.delete(opened)
        db.delete(other)
        db.commit()


@pytest.mark.parametrize(
    "header", ["Basic dXNlcjpwYXNz", "Bearer", "Bearer ", "Digest x", "token", "Bearer\x00x", "bearer,", "\xff"]
)
def test_another_scheme_is_refused_with_the_right_one(world: World, header: str) -> None:
    response = world.send("GET", "/api", token=None, HTTP_AUTHORIZATION=header)
    assert_problem(response, 401, "token_invalid")
    assert "Bearer" in response.headers["WWW-Authenticate"]
