"""Bodies that cannot be used."""

from __future__ import annotations

import io
import json
from typing import Any

import orjson
import pytest

from tests.functional.bad_input.world import GOOD, World
from tests.support.problems import assert_problem, named

MEGABYTE = 1024 * 1024


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
        "POST",
        "/api/listings",
        b"-",
        CONTENT_LENGTH=None,
        wsgi_input_terminated=True,
        wsgi_input=stream,
        HTTP_TRANSFER_ENCODING="chunked",
    )
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
