"""One representation, three serialisations: plain JSON, HAL and HAL-FORMS; and what HTTP itself asks for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy.orm import Session

from marketplace_api.domain.catalog.listings.workflow import LISTING_WORKFLOW
from tests.factories.accounts import People
from tests.factories.listings import make_listing
from tests.support.client import HAL_FORMS, Client
from tests.support.problems import assert_problem

JSON, HAL = "application/json", "application/hal+json"
MEDIA = (JSON, HAL, HAL_FORMS)
IANA = {"self", "first", "prev", "next", "last", "up", "item", "collection", "author", "search"}


@pytest.fixture
def path(db: Session, owner: Client) -> str:
    return f"/api/listings/{make_listing(db, owner.user).listing_id}"


def _pages(path: str, owner: Client) -> list[str]:
    me = f"/api/users/{owner.user.user_id}"
    return [
        "/api",
        path,
        f"{path}?embed=owner",
        "/api/listings",
        "/api/listings?embed=owner&facets=category",
        me,
        f"{me}/listings",
        "/api/users/me",
        "/api/users/me/listings",
        "/api/auth/me",
        "/api/auth/sessions",
        "/api/auth/login",
        "/api/categories",
        "/api/search/suggestions?query=ro",
        "/api/errors",
        "/api/errors/gone",
        "/api/rels/owner",
    ]


def _plain(document: Any) -> Any:
    """A HAL document as the plain one should be: what is embedded among the fields, no curies, no templates."""
    if isinstance(document, list):
        return [_plain(item) for item in document]
    fields = {name: value for name, value in document.items() if name not in ("_embedded", "_templates", "_links")}
    links = {rel: link for rel, link in document["_links"].items() if rel != "curies"}
    return {**fields, **{name: _plain(child) for name, child in document.get("_embedded", {}).items()}, "_links": links}


def _documents(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield document
    for child in document.get("_embedded", {}).values():
        for item in child if isinstance(child, list) else [child]:
            yield from _documents(item)


def test_all_three_say_the_same(owner: Client, path: str) -> None:
    for page in _pages(path, owner):
        plain, hal, forms = (owner.get(page, Accept=media) for media in MEDIA)
        assert [answer.headers["Content-Type"] for answer in (plain, hal, forms)] == list(MEDIA), page
        assert _plain(hal.json) == plain.json, page
        assert _plain(forms.json) == plain.json, page
        assert "_embedded" not in plain.json and "_templates" not in plain.json
        assert all("_templates" not in document for document in _documents(hal.json))


def test_every_object_has_links(owner: Client, path: str) -> None:
    for page in _pages(path, owner):
        for document in _documents(owner.get(page, Accept=HAL).json):
            assert document["_links"]["self"]["href"].startswith("/api"), page


def test_lists_move_under_embedded_in_hal_alone(owner: Client, path: str) -> None:
    plain, hal = owner.get("/api/listings").json, owner.get("/api/listings", Accept=HAL).json
    assert [item["listing_id"] for item in plain["listings"]] == [
        item["listing_id"] for item in hal["_embedded"]["listings"]
    ]
    assert "listings" not in hal
    assert plain.keys() == {"listings", "totalPages", "currentPage", "totalItems", "_links"}
    with_owner = owner.get(f"{path}?embed=owner").json
    assert with_owner["owner"]["user_id"] == owner.user.user_id
    assert owner.get(f"{path}?embed=owner", Accept=HAL).json["_embedded"]["owner"]["username"] == owner.user.username


ACCEPTED = {
    "": JSON,
    "*/*": JSON,
    "application/json": JSON,
    "application/*": JSON,
    "application/json, text/plain, */*": JSON,
    "application/hal+json": HAL,
    "application/hal+json;q=0.5, application/json;q=0.4": HAL,
    "application/hal+json, */*;q=0.1": HAL,
    "application/prs.hal-forms+json": HAL_FORMS,
    "application/prs.hal-forms+json, application/hal+json;q=0.9": HAL_FORMS,
    "APPLICATION/HAL+JSON": HAL,
    "application/json; charset=utf-8": JSON,
    "text/csv, application/hal+json;q=0.1": HAL,
    "application/vnd.api+json, application/json;q=0.2": JSON,
}


@pytest.mark.parametrize(("accept", "media"), ACCEPTED.items())
def test_the_accept_header_chooses(accept: str, media: str, client: Client, path: str) -> None:
    response = client.get(path, Accept=accept)
    assert (response.status_int, response.headers["Content-Type"]) == (200, media)


@pytest.mark.parametrize("accept", ["text/csv", "image/png", "application/xml, text/csv;q=0.5", "application/json;q=0"])
def test_what_cannot_be_had_is_406_and_changes_nothing(accept: str, owner: Client, path: str) -> None:
    body = assert_problem(owner.get(path, Accept=accept), 406, "not_acceptable")
    for media in MEDIA:
        assert media in body["detail"]
    assert_problem(owner.put(path, {"title": "Changed"}, Accept=accept), 406, "not_acceptable")
    assert_problem(owner.delete(path, Accept=accept), 406, "not_acceptable")
    assert owner.get(path).json["title"] == "Road bicycle"


def test_a_problem_is_a_problem_whatever_was_asked_for(client: Client) -> None:
    for media in (*MEDIA, "application/problem+json", "text/csv"):
        assert_problem(client.get("/api/nothing", Accept=media), 404, "not_found")


def test_what_answers_vary_by_is_on_every_one(owner: Client, path: str, client: Client) -> None:
    answers = [
        owner.get(path),
        owner.get(path, If_None_Match="*"),
        client.get("/api/nothing"),
        client.get("/api/users/me"),
        owner.put(path, {"title": ""}),
        owner.put(path, {"title": "x"}),
        owner.put(path, {"title": "y"}, Prefer="return=minimal"),
        client.get("/api", Accept="text/csv"),
        owner.request("PATCH", "/api"),
        owner.request("HEAD", path),
        client.get("/healthz"),
        owner.get("/api/users/me/export"),
        owner.request("OPTIONS", path),
    ]
    assert {answer.headers.get("Vary") for answer in answers} == {"Accept, Authorization, Origin"}
    packed = client.get("/api/openapi.json").headers["Vary"]
    assert packed == "Accept, Authorization, Origin, Accept-Encoding"


def test_our_relations_lead_to_what_they_mean(owner: Client, path: str, client: Client) -> None:
    met: set[str] = set()
    for caller in (owner, client):
        for page in _pages(path, owner):
            response = caller.get(page, Accept=HAL_FORMS)
            if response.status_int != 200:
                continue
            (curie,) = response.json["_links"]["curies"]
            assert (curie["name"], curie["templated"]) == ("mkt", True)
            for document in _documents(response.json):
                met |= {rel for rel in document["_links"] if rel != "curies"}
    ours = {rel for rel in met if rel.startswith("mkt:")}
    assert met - ours <= IANA
    assert {
        "mkt:listings",
        "mkt:categories",
        "mkt:suggestions",
        "mkt:register",
        "mkt:login",
        "mkt:me",
        "mkt:owner",
    } <= ours
    for rel in ours:
        described = client.get(curie["href"].replace("{rel}", rel.removeprefix("mkt:")))
        assert described.status_int == 200, rel
        assert described.json["rel"] == rel
        assert described.json["meaning"].endswith(".")


def test_the_entry_links_what_the_caller_may_use(client: Client, owner: Client) -> None:
    stranger, known = client.get("/api").json, owner.get("/api").json
    assert stranger["caller"]["state"] == "anonymous"
    assert known["caller"] == {
        "user_id": owner.user.user_id,
        "username": owner.user.username,
        "roles": ["customer"],
        "state": "active",
    }
    assert {"mkt:register", "mkt:login"} <= stranger["_links"].keys()
    assert {"mkt:me", "mkt:my-listings", "mkt:sessions"} <= known["_links"].keys()
    assert stranger["_links"].keys().isdisjoint({"mkt:me", "mkt:my-listings", "mkt:sessions"})
    search = stranger["_links"]["search"]
    assert search["templated"] is True
    for parameter in ("category", "search", "near", "bbox", "sortBy", "cursor", "facets", "fields", "embed"):
        assert re.search(rf"[?,]{parameter}[,}}]", search["href"]), parameter


# Templates.


def _template(document: dict[str, Any], name: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    template = document["_templates"][name]
    assert template.keys() == {"title", "method", "target", "contentType", "properties"}
    return template, {described["name"]: described for described in template["properties"]}


def test_the_form_of_an_offer_describes_each_field(owner: Client, path: str) -> None:
    template, fields = _template(owner.forms("/api/listings"), "create")
    assert (template["method"], template["target"], template["contentType"]) == (
        "POST",
        "/api/listings",
        "application/json",
    )
    assert {name for name, field in fields.items() if field["required"]} == {"title", "category", "price"}
    title, price, photos, place = fields["title"], fields["price"], fields["photos_urls"], fields["location"]
    assert (title["prompt"], title["type"], title["minLength"], title["maxLength"]) == ("Title", "text", 1, 255)
    assert (price["type"], price["min"], price["max"], price["step"]) == ("number", 0, 9_999_999_999.99, 0.01)
    assert fields["description"]["type"] == "textarea"
    assert set(fields["status"]["options"]["inline"]) == {"active", "draft", "inactive"}
    assert (photos["multiple"], photos["maxItems"]) == (True, 24)
    parts = {part["name"]: part for part in place["properties"]}
    assert parts.keys() == {"address", "city", "state", "zip", "country", "latitude", "longitude"}
    assert (parts["latitude"]["min"], parts["latitude"]["max"]) == (-90, 90)
    shown = {name: field["value"] for name, field in fields.items() if "value" in field}
    assert shown == {"currency": "USD", "status": "active"}


def test_a_form_that_edits_holds_the_present_values(owner: Client, path: str) -> None:
    present = owner.get(path).json
    template, fields = _template(owner.forms(path), "edit")
    assert (template["method"], template["target"]) == ("PUT", path)
    assert not any(field["required"] for field in fields.values())
    for name in ("title", "description", "category", "price", "currency", "amenities", "photos_urls", "status"):
        assert fields[name]["value"] == present[name], name
    assert fields["location"]["value"] == {
        name: value for name, value in present["location"].items() if value is not None and name != "is_approximate"
    }
    inside = {part["name"]: part.get("value") for part in fields["location"]["properties"]}
    assert (inside["city"], inside["latitude"], inside["zip"]) == ("Berlin", 52.538123, None)


def test_a_form_of_the_account_describes_names_and_passwords(client: Client, owner: Client) -> None:
    _, fields = _template(client.forms("/api/auth/register"), "register")
    assert re.fullmatch(fields["username"]["regex"], "ada.lovelace")
    assert not re.fullmatch(fields["username"]["regex"], ".ada")
    assert (fields["email"]["type"], fields["password"]["type"]) == ("email", "password")
    assert all(field["required"] for field in fields.values())
    _, mine = _template(owner.forms("/api/users/me"), "edit")
    assert mine["username"]["value"] == owner.user.username
    assert mine["profile_picture_url"]["type"] == "url"
    text = owner.get("/api/users/me", Accept=HAL_FORMS).text
    assert "password_hash" not in text


def test_types_of_fields_are_those_of_hal_forms(owner: Client, path: str, client: Client) -> None:
    """A client that meets another type, as ketting does, cannot send the form at all."""
    known = {
        "file",
        "hidden",
        "text",
        "textarea",
        "search",
        "tel",
        "url",
        "email",
        "password",
        "number",
        "range",
        "date",
        "checkbox",
    }
    seen = 0
    for page in _pages(path, owner):
        for caller in (owner, client):
            response = caller.get(page, Accept=HAL_FORMS)
            for document in _documents(response.json) if response.status_int == 200 else []:
                for name in document["_templates"]:
                    _, fields = _template(document, name)
                    for field in fields.values():
                        seen += 1
                        assert field.get("type", "text") in known, field
                        assert field["prompt"] and isinstance(field["required"], bool)
    assert seen > 50


# The listing's own operations: others (bookmark, message …) are offered on it too.
OWN = {"edit", "delete", "restore", *(step.name for step in LISTING_WORKFLOW)}


def test_what_a_form_offers_depends_on_caller_and_state(owner: Client, path: str, people: People) -> None:
    def offered(caller: Client) -> set[str]:
        return set(caller.forms(path)["_templates"]) & OWN

    assert offered(owner) == {"edit", "delete", "deactivate", "mark-sold", "submit-for-verification"}
    assert offered(people.customer()) == offered(people.anonymous()) == offered(people.suspended()) == set()
    assert offered(people.moderator()) == {"suspend", "delete"}
    owner.post(f"{path}/mark-sold", {})
    assert offered(owner) == {"edit", "delete", "publish"}
    inside = owner.forms("/api/users/me/listings")["_embedded"]["listings"][0]
    assert set(inside["_templates"]) & OWN == {"edit", "delete", "publish"}


def test_the_only_form_of_a_page_is_its_default(client: Client, owner: Client) -> None:
    for page, caller in (("/api/auth/login", client), ("/api/listings", owner)):
        templates = caller.forms(page)["_templates"]
        assert len(templates) == 2
        name = next(name for name in templates if name != "default")
        assert templates["default"] == templates[name]


# HTTP's own manners.


def test_head_is_get_without_the_body(owner: Client, path: str) -> None:
    for page in _pages(path, owner):
        for media in MEDIA:
            get, head = owner.get(page, Accept=media), owner.request("HEAD", page, headers={"Accept": media})
            assert (head.status_int, head.body) == (200, b"")
            ignored = {"X-Request-ID"}
            assert {n: v for n, v in head.headers.items() if n not in ignored} == {
                n: v for n, v in get.headers.items() if n not in ignored
            }, page
    assert owner.request("HEAD", "/api/listings/999999").status_int == 404
    assert owner.request("HEAD", path, headers={"If-None-Match": owner.get(path).headers["ETag"]}).status_int == 304


ALLOWED = {
    "/api": "GET, HEAD, OPTIONS",
    "/api/listings": "GET, HEAD, OPTIONS, POST",
    "/api/auth/login": "GET, HEAD, OPTIONS, POST",
    "/api/users/me": "DELETE, GET, HEAD, OPTIONS, PATCH, PUT",
    "/api/users/me/password": "OPTIONS, PUT",
    "{listing}": "DELETE, GET, HEAD, OPTIONS, PATCH, PUT",
    "{listing}/publish": "OPTIONS, POST",
}


@pytest.mark.parametrize(("page", "allow"), ALLOWED.items())
def test_options_and_405_tell_the_methods(page: str, allow: str, owner: Client, path: str) -> None:
    address = page.replace("{listing}", path)
    asked = owner.request("OPTIONS", address)
    assert (asked.status_int, asked.body, asked.headers["Allow"]) == (204, b"", allow)
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - set(allow.split(", ")):
        refused = owner.request(method, address)
        body = assert_problem(refused, 405, "method_not_allowed")
        assert refused.headers["Allow"] == allow
        assert method in body["detail"]


@pytest.mark.parametrize(
    ("asked", "location"),
    [
        ("/api/", "/api"),
        ("/api/listings/", "/api/listings"),
        ("/api/listings/?page=2&limit=5", "/api/listings?page=2&limit=5"),
        ("/api/users/me/", "/api/users/me"),
        ("/api/v1/listings/", "/api/listings"),
        ("/api/listings//", "/api/listings"),
    ],
)
def test_a_trailing_slash_redirects_for_good(asked: str, location: str, client: Client) -> None:
    for method in ("GET", "POST", "DELETE"):
        response = client.request(method, asked)
        assert (response.status_int, response.headers["Location"]) == (308, location)


def test_v1_is_another_name_for_the_same(owner: Client, path: str) -> None:
    for page in _pages(path, owner):
        alias = "/api/v1" + page.removeprefix("/api")
        for media in MEDIA:
            original, aliased = owner.get(page, Accept=media), owner.get(alias, Accept=media)
            assert aliased.json == original.json
            assert aliased.headers["ETag"] == original.headers["ETag"]
            assert "/api/v1" not in aliased.text
            assert aliased.headers.get("Link") == original.headers.get("Link")
    created = owner.post("/api/v1/listings", {"title": "Lamp", "category": "furniture", "price": 1})
    assert created.headers["Location"].startswith("/api/listings/")
    assert owner.put("/api/v1" + path.removeprefix("/api"), {"title": "By alias"}).json["title"] == "By alias"


def test_the_link_header_holds_the_page_links_of_the_body(client: Client, owner: Client, db: Session) -> None:
    for number in range(5):
        make_listing(db, owner.user, title=f"Bicycle {number}")
    for page in (
        "/api/listings?limit=2",
        "/api/listings?limit=2&page=2",
        "/api/listings?limit=2&page=3&sortBy=price",
        "/api/listings?search=x",
    ):
        for media in MEDIA:
            response = client.get(page, Accept=media)
            header = {rel: href for href, rel in re.findall(r'<([^>]*)>; rel="([^"]*)"', response.headers["Link"])}
            assert header == {rel: link["href"] for rel, link in response.json["_links"].items() if rel in IANA}
            assert {"self", "first"} <= header.keys()
    assert "Link" not in client.get("/api").headers


def test_sparse_fields_keep_the_key_and_the_links(client: Client, path: str) -> None:
    for media in MEDIA:
        item = client.get(f"{path}?fields=title,price", Accept=media).json
        assert {name for name in item if not name.startswith("_")} == {"listing_id", "title", "price"}
        assert "self" in item["_links"]
    items = client.get("/api/listings?fields=title").json["listings"]
    assert [item.keys() - {"_links"} for item in items] == [{"listing_id", "title"}] * len(items)
