"""What is the same for everybody: the way in, documents that travel packed, metrics; and what has which headers."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
from webob import Request

from marketplace_api.gateways.rate_limiter import Limiter
from tests.factories.accounts import People
from tests.factories.listings import make_listing
from tests.support.client import Client

PACKED = ("/api/openapi.json", "/api/errors")
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "location"),
    [
        ("", "/api"),
        ("*/*", "/api"),
        ("application/json", "/api"),
        ("application/hal+json", "/api"),
        (BROWSER, "/docs"),
        ("text/html", "/docs"),
    ],
)
def test_the_root_leads_somewhere(accept: str, location: str, client: Client) -> None:
    response = client.get("/", Accept=accept)
    assert (response.status_int, response.headers["Location"]) == (303, location)
    assert "Accept" in response.headers["Vary"]
    assert client.get(location).status_int == 200


def test_the_root_takes_nothing_else(client: Client) -> None:
    assert client.post("/").status_int in (404, 405)


def _sent(app: Any, path: str, **headers: str) -> Any:
    return Request.blank(path, headers={name.replace("_", "-"): value for name, value in headers.items()}).get_response(
        app
    )


@pytest.mark.parametrize("path", PACKED)
def test_public_documents_travel_packed_to_those_who_can_unpack_them(path: str, app: Any) -> None:
    plain, packed = _sent(app, path), _sent(app, path, Accept_Encoding="br, gzip;q=0.8")
    assert "Content-Encoding" not in plain.headers
    assert "Content-Encoding" not in _sent(app, path, Accept_Encoding="gzip;q=0, identity").headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert len(packed.body) < len(plain.body) / 2
    assert gzip.decompress(packed.body) == plain.body
    assert all("Accept-Encoding" in answer.headers["Vary"] for answer in (plain, packed))
    assert plain.headers["ETag"] != packed.headers["ETag"]
    for answer, encoding in ((plain, "identity"), (packed, "gzip")):
        again = _sent(app, path, Accept_Encoding=encoding, If_None_Match=answer.headers["ETag"])
        assert (again.status_int, again.body) == (304, b"")


@pytest.mark.parametrize("path", PACKED)
def test_they_are_the_same_for_everyone(path: str, app: Any, client: Client, people: People) -> None:
    assert client.get(path).body == people.admin().get(path).body
    assert client.get(path).headers["Cache-Control"] == "public, max-age=300"


def test_what_depends_on_the_caller_is_never_packed(app: Any, people: People, db: Any) -> None:
    for _ in range(10):
        make_listing(db, people.customer().user, description="word " * 300)
    for path in ("/api", "/api/listings", "/api/categories"):
        assert "Content-Encoding" not in _sent(app, path, Accept_Encoding="gzip").headers


@pytest.mark.parametrize("media", ["application/json", "application/hal+json", "application/prs.hal-forms+json"])
def test_the_errors_come_in_every_media_type(media: str, client: Client) -> None:
    response = client.get("/api/errors", Accept=media)
    assert response.content_type == media
    assert ("_embedded" in response.json) is (media != "application/json")


@pytest.mark.parametrize(
    "accept", ["text/plain", "text/plain;version=0.0.4", "application/openmetrics-text", "*/*", ""]
)
def test_metrics_are_what_they_are(accept: str, client: Client) -> None:
    response = client.get("/metrics", Accept=accept)
    assert (response.status_int, response.content_type) == (200, "text/plain")


def test_a_search_without_hits_links_what_may_have_been_meant(client: Client, people: People, db: Any) -> None:
    make_listing(db, people.customer().user, title="Racing bicycle")
    found = client.get("/api/listings?search=bicycle").json
    missed = client.get("/api/listings?search=racing+bicicle").json
    assert (found["totalItems"], missed["totalItems"]) == (1, 0)
    assert "mkt:suggestions" not in found["_links"]
    assert "mkt:suggestions" not in client.get("/api/listings?category=cars").json["_links"]
    href = missed["_links"]["mkt:suggestions"]["href"]
    assert href == "/api/search/suggestions?query=racing+bicicle"
    assert "racing bicycle" in [each["text"] for each in client.get(href).json["suggestions"]]
    long = client.get(f"/api/listings?search={'x' * 200}").json["_links"]["mkt:suggestions"]["href"]
    assert client.get(long).status_int == 200


def test_only_what_was_counted_tells_of_limits(app: Any, client: Client, people: People) -> None:
    """The exceptions that docs/architecture.md names, and no others."""
    app.registry.limiter = Limiter("", 1)
    try:
        preflight = {"Origin": "http://localhost:3000", "Access-Control-Request-Method": "GET"}
        uncounted = [
            client.request("OPTIONS", "/api", headers=preflight),
            client.get("/api/" + "x" * 9_000),
            client.get("/api", X_Long="x" * 40_000),
        ]
        counted = [
            client.get(path) for path in ("/healthz", "/readyz", "/version", "/api", "/nowhere", "/api/nowhere", "/")
        ]
        counted += [client.post("/api"), people.customer().get("/api/users/me/export")]
    finally:
        app.registry.limiter = None
    assert [answer.status_int for answer in uncounted] == [204, 414, 431]
    for answers, told in ((uncounted, False), (counted, True)):
        assert all("X-Request-ID" in answer.headers for answer in answers)
        assert [("RateLimit-Limit" in answer.headers) for answer in answers] == [told] * len(answers)


def test_what_has_no_tag_must_not_be_kept(client: Client, people: People) -> None:
    caller = people.customer()
    for path in ("/healthz", "/readyz", "/version", "/metrics", "/api/users/me/export", "/api/nowhere"):
        response = caller.get(path)
        assert "ETag" not in response.headers
        assert response.headers["Cache-Control"] == "no-store"
    for path in ("/api", "/api/users/me", "/api/listings", "/api/errors", "/api/openapi.json"):
        assert "ETag" in caller.get(path).headers
