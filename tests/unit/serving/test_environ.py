"""What the application is told of a request."""

from __future__ import annotations

import io
from typing import Any

import pytest

from marketplace_api.serving.environ import make_environ


def environ(*headers: tuple[bytes, bytes], length: int | None = None, **scope: Any) -> dict[str, Any]:
    given = {
        "method": "GET",
        "raw_path": b"/",
        "query_string": b"",
        "http_version": "1.1",
        "scheme": "http",
        "server": ("127.0.0.1", 6543),
        "client": ("203.0.113.5", 50000),
        "headers": list(headers),
        **scope,
    }
    return make_environ(given, io.BytesIO(), length)


def test_what_every_request_has() -> None:
    told = environ(query_string=b"page=2")
    assert (told["REQUEST_METHOD"], told["QUERY_STRING"], told["SERVER_PROTOCOL"]) == ("GET", "page=2", "HTTP/1.1")
    assert (told["REMOTE_ADDR"], told["SERVER_NAME"], told["SERVER_PORT"]) == ("203.0.113.5", "127.0.0.1", "6543")
    assert "CONTENT_LENGTH" not in told


@pytest.mark.parametrize(
    ("raw", "path"), [(b"/a%20b", "/a b"), (b"/%c3%a9", "/Ã©"), (b"/%ff", "/ÿ"), (b"/a+b", "/a+b"), (b"/%zz", "/%zz")]
)
def test_paths_are_bytes_as_latin_1(raw: bytes, path: str) -> None:
    assert environ(raw_path=raw)["PATH_INFO"] == path


def test_headers_that_come_twice_are_joined() -> None:
    told = environ((b"host", b"a"), (b"host", b"b"), (b"x-forwarded-for", b"1.1.1.1"), (b"x-forwarded-for", b"2.2.2.2"))
    assert (told["HTTP_HOST"], told["HTTP_X_FORWARDED_FOR"]) == ("a,b", "1.1.1.1,2.2.2.2")


def test_names_with_an_underscore_and_those_of_the_connection_are_left_out() -> None:
    told = environ((b"x_forwarded_for", b"1.1.1.1"), (b"transfer-encoding", b"chunked"), (b"connection", b"close"))
    assert not [name for name in told if name.startswith("HTTP_")]


def test_the_length_is_that_of_what_came() -> None:
    told = environ((b"transfer-encoding", b"chunked"), (b"content-type", b"text/plain"), length=12)
    assert (told["CONTENT_LENGTH"], told["CONTENT_TYPE"]) == ("12", "text/plain")
    assert environ((b"content-length", b"12"), length=12)["CONTENT_LENGTH"] == "12"
