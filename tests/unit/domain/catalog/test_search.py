"""Search gives exactly what a look at every listing gives, whichever way it takes to the rows."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.domain.catalog.search import FACETS, SearchQuery, compact_terms, owned, search, suggest
from marketplace_api.domain.kernel.paging import PageRequest
from marketplace_api.errors import Invalid
from tests.support.postgres import as_owner
from tests.unit.domain.catalog.search_world import (
    a_listing,
    a_query,
    add,
    expected,
    few_is_many,
    filled,
    ids,
    owner,
    walk_there_and_back,
)

__all__ = ["few_is_many", "filled", "owner"]

pytestmark = pytest.mark.usefixtures("few_is_many")


@pytest.mark.parametrize("state", ["noted", "folded", "bitmaps", "lagging"])
def test_any_search_equals_a_look_at_every_listing(db: Session, filled: random.Random, owner: int, state: str) -> None:
    """Whether changes are only noted, or folded into the counts, or into bitmaps too, or those lag behind."""
    if state != "noted":
        while compact_terms(db, batch=3000, frequent=9 if state != "folded" else 5000):
            pass
    if state == "lagging":
        for _ in range(40):
            add(db, owner, **a_listing(filled))
        db.execute(
            sa.text(
                "UPDATE listings SET description = description || ' bike', status = 'active' "
                "WHERE listing_id % 5 = 0 AND suspended_from IS NULL"
            )
        )
        with as_owner(db):
            db.execute(sa.text("DELETE FROM listings WHERE listing_id % 7 = 0"))
    for number in range(160):
        query = a_query(filled, owner)
        matches = [row.listing_id for row in expected(db, query)]
        found = search(db, query, PageRequest(limit=7))
        assert (found.total, found.total_is_capped) == (min(len(matches), 60), len(matches) > 60), query
        if query.order == "relevance":
            assert set(ids(found)) <= set(matches), query
        else:
            assert ids(found) == matches[:7], query
        if number % 4 == 0:
            walked = walk_there_and_back(db, query, 9)
            assert sorted(walked) == sorted(matches), query
            assert query.order == "relevance" or walked == matches, query


def test_pages_by_number_follow_the_cursors(db: Session, filled: random.Random) -> None:
    for query in (
        SearchQuery(),
        SearchQuery(text="bike"),
        SearchQuery(text="running or lamp"),
        SearchQuery(category="vehicles", sort="price"),
    ):
        walked = walk_there_and_back(db, query, 10)
        for number in (1, 2, 4, 6):
            assert ids(search(db, query, PageRequest(number, 10))) == walked[10 * (number - 1) : 10 * number], query


def test_relevance_prefers_the_title(db: Session, owner: int) -> None:
    named = add(db, owner, title="Violin", description="An instrument")
    told = add(db, owner, title="Instrument", description="like a violin")
    also = add(db, owner, title="Box", amenities=["violin"])
    assert ids(search(db, SearchQuery(text="violin"), PageRequest())) == [named, also, told]


def test_the_last_word_may_be_unfinished_and_accents_do_not_matter(db: Session, owner: int) -> None:
    cafe = add(db, owner, title="Café tables")
    for text in ("caf", "cafe", "café", "CAFÉ", "table caf", "tab"):
        assert ids(search(db, SearchQuery(text=text), PageRequest())) == [cafe], text
    for text in ('"caf', "-cafe", "caf or nothing", "cafx", "ca"):
        assert ids(search(db, SearchQuery(text=text), PageRequest())) == [], text


@pytest.mark.parametrize(
    "text",
    [
        "the",
        "of the",
        "!!!",
        "'",
        "''",
        "\\",
        "a\\' | b",
        ":*",
        "foo:*",
        "& | !",
        "((",
        "<->",
        "\x00",
        "\ud800",
        "x" * 5000,
        "-",
        '"',
        '"" -""',
        "😀",
        "\u202e\u200b",
        "%",
        "' OR 1=1 --",
        "#all",
        "'#all'",
        "#c=cars",
        "ﬁ",
        "or or or",
        "٣٤",
        "a" * 300,
        "%(x)s",
        ":x",
    ],
)
def test_no_text_is_an_error(db: Session, owner: int, text: str) -> None:
    add(db, owner, title="Something else")
    for query in (
        SearchQuery(text=text),
        SearchQuery(location=text),
        SearchQuery(amenities=(text,)),
        SearchQuery(text=f"else {text}"),
    ):
        assert search(db, query, PageRequest()).total in (0, 1)
    suggest(db, text)


def test_the_address_is_never_searched(db: Session, owner: int) -> None:
    add(db, owner, address="Secretgarden 5", city="Berlin", state="BE")
    assert search(db, SearchQuery(location="Berl"), PageRequest()).total == 1
    assert search(db, SearchQuery(location="secretgarden"), PageRequest()).total == 0
    assert search(db, SearchQuery(text="secretgarden"), PageRequest()).total == 0


def test_searches_know_no_more_of_a_place_than_two_decimals(db: Session, owner: int) -> None:
    add(db, owner, latitude=52.516312, longitude=13.377722)
    rounded = (52.52, 13.38)
    assert search(db, SearchQuery(near=rounded, radius_km=0.001), PageRequest()).total == 1
    assert search(db, SearchQuery(near=(52.516312, 13.377722), radius_km=0.1), PageRequest()).total == 0
    assert search(db, SearchQuery(bbox=(13.379, 52.519, 13.381, 52.521)), PageRequest()).total == 1
    assert search(db, SearchQuery(bbox=(13.377, 52.516, 13.378, 52.517)), PageRequest()).total == 0
    row = search(db, SearchQuery(near=rounded), PageRequest()).items[0]
    assert row.distance_km == pytest.approx(0, abs=1e-6)


def test_distance_is_the_great_circle(db: Session, owner: int) -> None:
    add(db, owner, latitude=52.52, longitude=13.40)
    row = search(db, SearchQuery(near=(48.86, 2.35)), PageRequest()).items[0]
    assert row.distance_km == pytest.approx(877.5, abs=1)


def test_facets(db: Session, filled: random.Random) -> None:
    for query in (
        SearchQuery(facets=FACETS, category="vehicles", verified=True),
        SearchQuery(text="camera lens", facets=FACETS),
    ):
        matches = expected(db, query)
        found = search(db, query, PageRequest())
        assert 0 < len(matches) <= 60
        assert found.facets["capped"] is False
        for facet, values in (
            ("category", [row.category for row in matches]),
            ("city", [row.city for row in matches if row.city]),
            ("amenities", [name.lower() for row in matches for name in row.amenities]),
            ("verified", [row.is_verified_listing for row in matches]),
        ):
            assert {entry["value"]: entry["count"] for entry in found.facets[facet]} == {
                value: values.count(value) for value in values
            }
        assert sum(entry["count"] for entry in found.facets["price"]) == len(matches)


def test_an_amenity_counts_once_however_it_is_spelled(db: Session, owner: int) -> None:
    add(db, owner, amenities=["WiFi", "wifi ", "Pool"])
    add(db, owner, amenities=["wifi", "pool", "WIFI"])
    found = search(db, SearchQuery(facets=("amenities",)), PageRequest()).facets["amenities"]
    assert found == [{"value": "pool", "count": 2}, {"value": "wifi", "count": 2}]


def test_facets_say_when_they_are_capped(db: Session, filled: random.Random) -> None:
    found = search(db, SearchQuery(facets=("category",)), PageRequest())
    assert found.facets["capped"] is True
    assert sum(entry["count"] for entry in found.facets["category"]) == 61
    assert search(db, SearchQuery(text="zzzz", facets=("city",)), PageRequest()).facets == {"city": [], "capped": False}


@pytest.mark.parametrize(
    ("query", "name", "code"),
    [
        (SearchQuery(sort="distance"), "near", "required"),
        (SearchQuery(radius_km=5.0), "near", "required"),
        (SearchQuery(near=(0.0, 0.0), radius_km=-1.0), "radius_km", "too_small"),
        (SearchQuery(near=(91.0, 0.0)), "near", "not_a_place"),
        (SearchQuery(bbox=(0.0, 5.0, 1.0, 4.0)), "bbox", "not_a_box"),
        (SearchQuery(sort="size"), "sortBy", "unknown_sort"),
        (SearchQuery(min_price=Decimal(2), max_price=Decimal(1)), "min_price", "above_maximum"),
        (SearchQuery(category="bycicles"), "category", "unknown_category"),
        (SearchQuery(facets=("colour",)), "facets", "unknown_facet"),
    ],
)
def test_contradictions_are_named(db: Session, query: SearchQuery, name: str, code: str) -> None:
    with pytest.raises(Invalid) as raised:
        search(db, query, PageRequest())
    assert [(error.location, error.name, error.code) for error in raised.value.errors] == [("querystring", name, code)]


def test_an_unknown_category_is_guessed(db: Session) -> None:
    with pytest.raises(Invalid, match="Did you mean 'bicycles'") as raised:
        search(db, SearchQuery(category="bycicles"), PageRequest())
    assert raised.value.extra == {"did_you_mean": "bicycles"}


def test_a_cursor_belongs_to_its_list(db: Session, filled: random.Random) -> None:
    cursor = search(db, SearchQuery(), PageRequest()).next_cursor
    with pytest.raises(Invalid) as raised:
        search(db, SearchQuery(sort="price"), PageRequest(cursor=cursor))
    assert raised.value.code == "invalid_cursor"


def test_owned(db: Session, filled: random.Random, owner: int) -> None:
    public = owned(db, owner, PageRequest(limit=50), statuses=None, include_private=False)
    assert ids(public) == [row.listing_id for row in expected(db, SearchQuery())][:50]
    assert (public.total, public.total_is_capped) == (60, True)
    sold = owned(db, owner, PageRequest(limit=50), statuses=("sold",), include_private=True)
    assert (
        sold.items
        and {row.status for row in sold.items} == {"sold"}
        and all(row.deleted_at is None for row in sold.items)
    )
    binned = owned(db, owner, PageRequest(limit=50), statuses=None, include_private=True, deleted=True)
    assert binned.items and all(row.deleted_at is not None for row in binned.items)
    second = owned(
        db,
        owner,
        PageRequest(
            limit=5, cursor=owned(db, owner, PageRequest(limit=5), statuses=None, include_private=False).next_cursor
        ),
        statuses=None,
        include_private=False,
    )
    assert ids(second) == ids(public)[5:10] and second.page == 2 and second.prev_cursor
    assert owned(db, owner + 1, PageRequest(), statuses=None, include_private=True).items == []
