"""``/docs``: a page that works under a policy which lets it talk to this service alone."""

from __future__ import annotations

import gzip
import re
from typing import Any

import pytest
from webob import Request

from tests.support.client import Client

TYPES = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "reference.js": "text/javascript",
    "LICENSE": "text/plain",
}


def addresses(client: Client) -> dict[str, str]:
    """What the page is made of, by the name of the file."""
    found = re.findall(r'(?:src|href)="(/docs/[^"]+)"', client.get("/docs").text)
    return {address.rpartition("/")[2]: address for address in found}


def test_the_page_asks_no_other_site(client: Client) -> None:
    response = client.get("/docs")
    assert response.status_int == 200
    assert response.content_type == "text/html"
    policy = dict(part.split(maxsplit=1) for part in response.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert {source for sources in policy.values() for source in sources.split()} == {"'none'", "'self'", "data:"}
    assert not re.search(r'(?:src|href)="(?!/|data:,)', response.text)
    assert "<script>" not in response.text
    assert "validatorUrl: null" in client.get(addresses(client)["reference.js"]).text


def test_it_is_made_of_four_files(client: Client) -> None:
    assert addresses(client).keys() == TYPES.keys()


@pytest.mark.parametrize("name", TYPES)
def test_a_file_is_typed_and_kept_for_ever(name: str, client: Client) -> None:
    response = client.get(addresses(client)[name])
    assert response.status_int == 200
    assert response.content_type == TYPES[name]
    assert "immutable" in response.headers["Cache-Control"]
    assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("name", TYPES)
def test_a_file_travels_packed_to_those_who_can_unpack_it(name: str, client: Client, app: Any) -> None:
    address = addresses(client)[name]  # WebTest would unpack it by itself
    packed = Request.blank(address, accept_encoding="br, gzip").get_response(app)
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.headers["Vary"] == "Accept-Encoding"
    plain = Request.blank(address, accept_encoding="gzip;q=0").get_response(app)
    assert "Content-Encoding" not in plain.headers
    assert gzip.decompress(packed.body) == plain.body


@pytest.mark.parametrize(
    "path",
    ["/docs/0123456789abcdef/reference.js", "/docs/{version}/reference.html", "/docs/x", "/docs/{version}/..%2Fapp.py"],
)
def test_nothing_else_is_there(path: str, client: Client) -> None:
    version = addresses(client)["LICENSE"].split("/")[2]
    response = client.get(path.format(version=version))
    assert response.status_int == 404
    assert response.json["code"] == "not_found"
