"""Lists in parts: pages, cursors, totals, sparse fields and what may be embedded."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from tests.factories.accounts import People, make_user, open_session
from tests.factories.listings import make_listing
from tests.support.client import HAL_FORMS, Client
from tests.support.problems import assert_problem, named

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def seller(db: Session) -> Any:
    return make_user(db)


def _make(db: Session, seller: Any, number: int, **values: Any) -> int:
    """A listing with sort keys of its own; the higher the number, the newer, dearer and later in the alphabet."""
    row = make_listing(
        db,
        seller,
        **{
            "title": f"Bicycle {number:04}",
            "price": Decimal(number),
            "date_created": START + timedelta(minutes=number),
            "date_updated": START + timedelta(minutes=number),
            **values,
        },
    )
    return int(row.listing_id)


@pytest.fixture
def ids(db: Session, seller: Any) -> list[int]:
    """25 listings, oldest first."""
    return [_make(db, seller, number * 10) for number in range(25)]


def _ids(document: dict[str, Any]) -> list[int]:
    return [item["listing_id"] for item in document["listings"]]


def _walk(client: Client, page: str, relation: str = "next") -> Iterator[dict[str, Any]]:
    """The document at ``page`` and all that ``relation`` leads to."""
    for _ in range(1_000):
        response = client.get(page)
        assert response.status_int == 200, response.text
        yield response.json
        if relation not in response.json["_links"]:
            return
        page = response.json["_links"][relation]["href"]
    raise AssertionError("the list has no end")


# Pages.


def test_pages_divide_the_list_and_say_how_much_there_is(client: Client, ids: list[int]) -> None:
    newest = list(reversed(ids))
    for limit, pages in ((10, 3), (25, 1), (24, 2), (100, 1), (1, 25)):
        for number in range(1, pages + 1):
            document = client.get(f"/api/listings?page={number}&limit={limit}").json
            assert (document["totalItems"], document["totalPages"], document["currentPage"]) == (25, pages, number)
            assert _ids(document) == newest[(number - 1) * limit : number * limit]
            assert "totalIsCapped" not in document
    assert _ids(client.get("/api/listings").json) == newest[:10]


def test_an_empty_list_has_no_pages(client: Client) -> None:
    document = client.get("/api/listings?search=nothing").json
    assert (document["listings"], document["totalItems"], document["totalPages"], document["currentPage"]) == (
        [],
        0,
        0,
        1,
    )
    assert document["_links"].keys() == {"self", "first", "mkt:suggestions"}
    assert client.get("/api/listings?category=furniture").json["_links"].keys() == {"self", "first"}


def test_a_page_beyond_the_end_is_empty_and_leads_back(client: Client, ids: list[int]) -> None:
    document = client.get("/api/listings?page=9").json
    assert (document["listings"], document["totalItems"], document["totalPages"], document["currentPage"]) == (
        [],
        25,
        3,
        9,
    )
    assert "next" not in document["_links"]
    assert len(_ids(client.get(document["_links"]["last"]["href"]).json)) == 5
    assert len(_ids(client.get(document["_links"]["first"]["href"]).json)) == 10


def test_links_keep_everything_else_that_was_asked_for(client: Client, ids: list[int]) -> None:
    document = client.get("/api/listings?limit=5&sortBy=title&search=bicycle&fields=title&page=2").json
    links = {rel: link["href"] for rel, link in document["_links"].items()}
    assert links.keys() == {"self", "first", "prev", "next", "last"}
    assert links["self"] == "/api/listings?limit=5&sortBy=title&search=bicycle&fields=title&page=2"
    for href in links.values():
        for kept in ("limit=5", "sortBy=title", "search=bicycle", "fields=title"):
            assert kept in href
    assert _ids(client.get(links["first"]).json) == ids[:5]
    assert _ids(client.get(links["prev"]).json) == ids[:5]
    assert _ids(client.get(links["next"]).json) == ids[10:15]
    assert _ids(client.get(links["last"]).json) == ids[20:]


@pytest.mark.parametrize(
    ("query", "name"), [("page=-1", "page"), ("page=0", "page"), ("limit=101", "limit"), ("limit=0", "limit")]
)
@pytest.mark.parametrize(
    "page", ["/api/listings", "/api/users/me/listings", "/api/users/{id}/listings", "/api/auth/sessions"]
)
def test_every_list_has_the_same_bounds(page: str, query: str, name: str, people: People) -> None:
    caller = people.customer()
    address = page.format(id=caller.user.user_id)
    assert named(assert_problem(caller.get(f"{address}?{query}"), 400, "invalid_input")) == {name: "out_of_range"}
    assert caller.get(f"{address}?limit=100&page=100").status_int == 200
    deep = assert_problem(caller.get(f"{address}?limit=100&page=101"), 400, "page_too_deep")
    assert "next" in deep["detail"] and "cursor" in deep["detail"]


# Cursors.

SORTS = [
    ("", True),
    ("sortBy=date_created&order=asc", False),
    ("sortBy=price", False),
    ("sortBy=price&order=desc", True),
    ("sortBy=title", False),
    ("sortBy=title&order=desc", True),
    ("sortBy=date_updated", True),
    ("sortBy=rating", None),
    ("search=bicycle", None),
    ("near=52.5,13.4&sortBy=distance", None),
    ("category=bicycles&sortBy=price", False),
]


@pytest.mark.parametrize(("query", "descending"), SORTS)
@pytest.mark.parametrize("limit", [1, 7, 25])
def test_next_walks_over_everything_once_and_prev_back(
    query: str, descending: bool | None, limit: int, client: Client, ids: list[int]
) -> None:
    pages = list(_walk(client, f"/api/listings?limit={limit}&{query}"))
    walked = [listing_id for page in pages for listing_id in _ids(page)]
    assert sorted(walked) == ids
    if descending is not None:
        assert walked == (list(reversed(ids)) if descending else ids)
    assert [page["currentPage"] for page in pages] == list(range(1, len(pages) + 1))
    assert {page["totalItems"] for page in pages} == {25}
    back = list(_walk(client, pages[-1]["_links"]["self"]["href"], "prev"))
    assert [_ids(page) for page in back] == [_ids(page) for page in reversed(pages)]
    assert [page["currentPage"] for page in back] == list(range(len(pages), 0, -1))


@pytest.mark.parametrize(("query", "descending"), [sort for sort in SORTS if sort[1] is not None])
def test_what_is_added_meanwhile_neither_repeats_nor_hides_anything(
    query: str, descending: bool, client: Client, ids: list[int], db: Session, seller: Any
) -> None:
    walked, added = [], set()
    for number, page in enumerate(_walk(client, f"/api/listings?limit=4&{query}")):
        walked += _ids(page)
        # One before everything, one after everything, one in the middle of what was seen, one beside the cursor.
        for place in (-5 - number, 1000 + number, 11 + number, (24 - 4 * number) * 10 - 5):
            added.add(_make(db, seller, place, price=Decimal(abs(place))))
        if number > 20:
            break
    assert len(walked) == len(set(walked))
    assert [listing_id for listing_id in walked if listing_id not in added] == (
        list(reversed(ids)) if descending else ids
    )


def test_what_is_deleted_meanwhile_does_not_make_the_walk_skip(client: Client, ids: list[int], db: Session) -> None:
    walked: list[int] = []
    for page in _walk(client, "/api/listings?limit=5&sortBy=price"):
        walked += _ids(page)
        # Also the very row that the cursor stands beside.
        db.execute(sa.text("UPDATE listings SET deleted_at = now() WHERE listing_id = :id"), {"id": walked[-1]})
        db.commit()
    assert walked == ids


def test_equal_keys_are_walked_in_one_fixed_order(client: Client, db: Session, seller: Any) -> None:
    same = [
        int(make_listing(db, seller, title="Twin", price=Decimal(5), date_created=START, date_updated=START).listing_id)
        for _ in range(9)
    ]
    for query in (
        "",
        "sortBy=price",
        "sortBy=title&order=desc",
        "sortBy=rating",
        "search=twin",
        "near=1,1&sortBy=distance",
    ):
        walked = [listing_id for page in _walk(client, f"/api/listings?limit=2&{query}") for listing_id in _ids(page)]
        assert sorted(walked) == same, query


def test_a_cursor_belongs_to_its_list(client: Client, ids: list[int], people: People) -> None:
    caller = people.customer()
    cursor = client.get("/api/listings?limit=5").json["_links"]["next"]["href"].partition("cursor=")[2]
    assert client.get(f"/api/listings?limit=7&cursor={cursor}").status_int == 200
    assert client.get(f"/api/listings?limit=5&cursor={cursor}&facets=category&fields=title").status_int == 200
    for elsewhere in (
        "/api/listings?sortBy=price",
        "/api/listings?order=asc",
        "/api/listings?search=bicycle",
        "/api/listings?category=bicycles",
        "/api/listings?min_price=1",
        "/api/users/me/listings?limit=5",
        "/api/auth/sessions?limit=5",
    ):
        answer = caller.get(f"{elsewhere}&cursor={cursor}")
        body = assert_problem(answer, 400, "invalid_cursor")
        assert named(body) == {"cursor": "invalid_cursor"}


def _forged(*content: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


def test_a_cursor_that_we_never_made_is_refused(client: Client, ids: list[int]) -> None:
    real = client.get("/api/listings?limit=5").json["_links"]["next"]["href"].partition("cursor=")[2]
    name, page, backward, key, listing_id = orjson.loads(base64.urlsafe_b64decode(real + "=" * (-len(real) % 4)))
    for cursor in (
        "garbage",
        "A",
        "====",
        "null",
        _forged(),
        _forged(name),
        _forged(name, page, backward, key),
        _forged(name, page, 7, key, listing_id),
        _forged(name, page, backward, "yesterday", listing_id),
        _forged(name, page, backward, key, "1; DROP TABLE listings"),
        _forged(name, page, backward, key, 2**70),
        _forged(name, page, backward, key, [1]),
        _forged(name, page, backward, None, listing_id),
        _forged(name, "x", backward, key, listing_id),
        _forged(name, page, backward, "9" * 2000, listing_id),
        _forged(name, page, backward, "0001-01-01T00:00:00", listing_id),
        _forged({"a": 1}),
        real + "x",
        real[:-4],
        base64.urlsafe_b64encode(b'{"a": 1}').decode().rstrip("="),
        base64.urlsafe_b64encode(b"\xff\xfe").decode().rstrip("="),
    ):
        answer = client.get(f"/api/listings?limit=5&cursor={cursor}")
        body = assert_problem(answer, 400, answer.json["code"])
        assert named(body).keys() == {"cursor"}, cursor


def test_the_sessions_are_walked_like_everything_else(people: People, db: Session) -> None:
    caller = people.customer()
    for _ in range(11):
        open_session(db, caller.user)
    db.commit()
    pages = list(_walk(caller, "/api/auth/sessions?limit=5"))
    walked = [session["session_id"] for page in pages for session in page["sessions"]]
    assert (len(walked), len(set(walked)), len(pages)) == (12, 12, 3)
    back = list(_walk(caller, pages[-1]["_links"]["self"]["href"], "prev"))
    assert [page["sessions"] for page in back] == [page["sessions"] for page in reversed(pages)]


def test_somebody_s_listings_are_walked_like_everything_else(client: Client, ids: list[int], seller: Any) -> None:
    walked = [x for page in _walk(client, f"/api/users/{seller.user_id}/listings?limit=4") for x in _ids(page)]
    assert sorted(walked) == ids


# Totals.


def test_totals_are_exact_up_to_ten_thousand_and_say_when_there_is_more(
    client: Client, db: Session, seller: Any
) -> None:
    _insert_many(db, seller, 10_000)
    for query in (
        "",
        "search=bicycle",
        "category=bicycles",
        f"owner={seller.user_id}",
        "location=berlin",
        "min_price=0",
    ):
        exact = client.get(f"/api/listings?limit=1&{query}").json
        assert (exact["totalItems"], "totalIsCapped" in exact) == (10_000, False), query
    last = client.get("/api/listings?limit=100&page=100").json
    assert (len(last["listings"]), last["totalPages"], "next" in last["_links"]) == (100, 100, False)
    _insert_many(db, seller, 150)
    for query in (
        "",
        "search=bicycle",
        "category=bicycles",
        f"owner={seller.user_id}",
        "location=berlin",
        "min_price=0",
    ):
        capped = client.get(f"/api/listings?limit=1&{query}").json
        assert (capped["totalItems"], capped["totalIsCapped"]) == (10_000, True), query
        assert "last" not in capped["_links"]
    # Where page numbers end, the cursor goes on.
    deep = client.get("/api/listings?limit=100&page=100").json
    onward = client.get(deep["_links"]["next"]["href"]).json
    final = client.get(onward["_links"]["next"]["href"]).json
    assert [len(page["listings"]) for page in (deep, onward, final)] == [100, 100, 50]
    assert [page["currentPage"] for page in (deep, onward, final)] == [100, 101, 102]
    assert "next" not in final["_links"]
    mine = client.get(f"/api/users/{seller.user_id}/listings?limit=1").json
    assert (mine["totalItems"], mine["totalIsCapped"]) == (10_000, True)
    assert client.get("/api/categories").status_int == 200


def _insert_many(db: Session, seller: Any, count: int) -> None:
    db.execute(
        sa.text(
            "INSERT INTO listings (user_id, title, description, category, price, currency, city) "
            "SELECT :user_id, 'Bicycle', 'Plain.', 'bicycles', 5, 'EUR', 'Berlin' FROM generate_series(1, :count)"
        ),
        {"user_id": seller.user_id, "count": count},
    )
    db.commit()


# Parts of the representation.


@pytest.mark.parametrize("media", ["application/json", "application/hal+json", HAL_FORMS])
def test_sparse_lists_hold_what_was_asked_for(media: str, client: Client, ids: list[int]) -> None:
    document = client.get("/api/listings?fields=title,price&limit=3", Accept=media).json
    items = document["listings"] if media == "application/json" else document["_embedded"]["listings"]
    for item in items:
        assert {name for name in item if not name.startswith("_")} == {"listing_id", "title", "price"}
        assert item["_links"]["self"]["href"] == f"/api/listings/{item['listing_id']}"


def test_fields_that_a_caller_may_not_see_stay_away_when_they_are_asked_for(client: Client, ids: list[int]) -> None:
    item = client.get("/api/listings?fields=status_reason,location&limit=1").json["listings"][0]
    assert "status_reason" not in item and "address" not in item["location"]


def test_owners_are_embedded_whole_and_once_each(client: Client, ids: list[int], db: Session, seller: Any) -> None:
    other = make_user(db, username="other")
    _make(db, other, 9999)
    items = client.get("/api/listings?embed=owner&limit=3").json["listings"]
    assert [item["owner"]["username"] for item in items] == ["other", seller.username, seller.username]
    assert items[1]["owner"]["_links"]["self"]["href"] == f"/api/users/{seller.user_id}"
    assert "owner" not in client.get("/api/listings?limit=1").json["listings"][0]
    assert "email" not in client.get("/api/listings?embed=owner&fields=title").text


def test_what_cannot_be_embedded_or_left_out_is_named(client: Client, ids: list[int]) -> None:
    for query, name in (
        ("embed=secret", "embed.0"),
        ("fields=secret", "fields.0"),
        ("fields=title,secret", "fields.1"),
    ):
        for page in ("/api/listings", f"/api/listings/{ids[0]}"):
            assert named(assert_problem(client.get(f"{page}?{query}"), 400, "invalid_input")) == {name: "not_a_choice"}


def test_facets_count_the_matches_and_not_the_page(client: Client, ids: list[int], db: Session, seller: Any) -> None:
    _make(db, seller, 5, category="furniture", amenities=["lock"], city="Hamburg")
    facets = client.get("/api/listings?facets=category,amenities,city&limit=1").json["facets"]
    counts = {
        name: {entry["value"]: entry["count"] for entry in facets[name]} for name in ("category", "amenities", "city")
    }
    assert counts["category"] == {"bicycles": 25, "furniture": 1}
    assert {name.lower(): count for name, count in counts["amenities"].items()} == {"lights": 25, "lock": 1}
    assert {name.lower(): count for name, count in counts["city"].items()} == {"berlin": 25, "hamburg": 1}
    narrowed = client.get("/api/listings?facets=category&city=x").status_int
    assert narrowed == 400
    assert "facets" not in client.get("/api/listings").json
