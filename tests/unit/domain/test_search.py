"""Search gives exactly what a look at every listing gives, whichever way it takes to the rows."""

from __future__ import annotations

import math
import random
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.domain import categories, paging
from marketplace_api.domain.paging import Page, PageRequest
from marketplace_api.domain.search import (
    FACETS,
    SearchQuery,
    bitmaps,
    compact_terms,
    facets,
    finding,
    geo,
    matching,
    owned,
    plan,
    recount_terms,
    search,
    statements,
    suggest,
)
from marketplace_api.errors import Invalid

WORDS = (
    "red mountain bike old city bicycle small running shoes café table lamp running fast garden chair wood "
    "the and of camera lens phone charger t-shirt O'Neill 4x4"
).split()
CITIES = (("San José", "CA", 37.33, -121.89), ("Suva", "Central", -18.14, 178.44), ("Apia", "Upolu", -13.83, -171.76),
          ("Berlin", None, 52.52, 13.4), (None, None, None, None))
SLUGS = ("cars", "vehicles", "bicycles", "phones", "electronics", "other")
AMENITIES = ("WiFi", "Parking", "free delivery", "GPS")
STATES = ("active", "active", "active", "active", "sold", "inactive", "pending_verification")

pytestmark = pytest.mark.usefixtures("few_is_many")


@pytest.fixture
def few_is_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lower every threshold, so that some hundred listings go all the ways that millions would."""
    monkeypatch.setattr(paging, "TOTAL_CAP", 60)
    monkeypatch.setattr(matching, "CAP", 61)
    monkeypatch.setattr(statements, "RANKED", 20)
    monkeypatch.setattr(facets, "CAP", 61)
    monkeypatch.setattr(bitmaps, "_MOST_RARE", 20)
    monkeypatch.setattr(finding, "_FEW", 10)
    monkeypatch.setattr(finding, "_MANY", 15)
    monkeypatch.setattr(plan, "_BLOCKS_PER_SIZE", 1)


@pytest.fixture
def owner(db: Session) -> int:
    return int(db.execute(sa.text("INSERT INTO users (username, email) VALUES ('o', 'o@example.org') RETURNING user_id")).scalar_one())


def add(db: Session, owner: int, **values: Any) -> int:
    values = {"user_id": owner, "title": "A thing", "category": "other", "price": 10, **values}
    names = ", ".join(values)
    statement = f"INSERT INTO listings ({names}) VALUES ({', '.join(f':{name}' for name in values)}) RETURNING listing_id"
    return int(db.execute(sa.text(statement), values).scalar_one())


def a_listing(chance: random.Random) -> dict[str, Any]:
    city, state, latitude, longitude = chance.choice(CITIES)
    ratings = chance.choice((0, 0, 1, 3))
    status = chance.choice(STATES)
    return {
        "title": " ".join(chance.choices(WORDS, k=chance.randint(1, 4))), "description": " ".join(chance.choices(WORDS, k=6)),
        "category": chance.choice(SLUGS), "price": Decimal(chance.randint(0, 400)), "city": city, "state": state,
        "address": "Secretgarden 5", "zip": chance.choice(("95112", None)), "country": "USA",
        "latitude": None if latitude is None else round(latitude + chance.gauss(0, 0.3), 6),
        "longitude": None if longitude is None else round((longitude + chance.gauss(0, 1.5) + 180) % 360 - 180, 6),
        "amenities": chance.sample(AMENITIES, chance.randint(0, 3)), "status": status,
        "is_verified_listing": chance.random() < 0.4, "rating_count": ratings, "rating_sum": ratings * chance.randint(1, 5),
        "owner_hidden": chance.random() < 0.05, "date_created": f"2026-0{chance.randint(1, 9)}-0{chance.randint(1, 9)}T00:00Z",
    }


@pytest.fixture
def filled(db: Session, owner: int) -> random.Random:
    chance = random.Random(11)
    # Ids far apart, so that blocks of them matter.
    db.execute(sa.text("SELECT setval(pg_get_serial_sequence('listings', 'listing_id'), 1000000)"))
    for number in range(260):
        if number % 20 == 0:
            db.execute(sa.text("SELECT setval(pg_get_serial_sequence('listings', 'listing_id'), :to)"), {"to": 1_000_000 + 9_000 * number})
        add(db, owner, **a_listing(chance))
    db.execute(sa.text("UPDATE listings SET deleted_at = now() WHERE listing_id % 17 = 0"))
    db.execute(sa.text("UPDATE listings SET title = title || ' lens', city = 'Suva' WHERE listing_id % 13 = 0"))
    db.execute(sa.text("DELETE FROM listings WHERE listing_id % 19 = 0"))
    return chance


ORACLE = """
SELECT *, lower(title) AS lower_title, round(latitude, 2)::float8 AS lat, round(longitude, 2)::float8 AS lng,
    setweight(to_tsvector('marketplace', title), 'A') || to_tsvector('marketplace', replace(category, '-', ' '))
    || to_tsvector('marketplace', array_to_string(amenities, ' ')) || to_tsvector('marketplace', description)
    @@ (CAST(:whole AS tsquery)) AS has_text,
    to_tsvector('marketplace_plain', concat_ws(' ', city, state, zip, country)) @@ plainto_tsquery('marketplace_plain', :place) AS has_place
FROM listings WHERE status = 'active' AND deleted_at IS NULL AND NOT owner_hidden
""".replace("::", r"\:\:")


def whole_query(db: Session, query: SearchQuery) -> str:
    """The text as one tsquery: its last word may be unfinished."""
    words = (query.text or "").split(" ")
    begun = words[-1] if words[-1].isalnum() and len(words[-1]) > 2 and "or" not in words and '"' not in (query.text or "") else ""
    head = " ".join(words[:-1]) if begun else query.text or ""
    return str(db.execute(sa.text(
        "SELECT CASE WHEN :begun = '' THEN head WHEN numnode(last) = 0 THEN head ELSE head && (last || prefix) END "
        "FROM (SELECT websearch_to_tsquery('marketplace', :head) AS head, websearch_to_tsquery('marketplace', :begun) AS last, "
        "CASE WHEN :begun = '' THEN NULL ELSE to_tsquery('marketplace_plain', :begun || CAST(':*' AS text)) END AS prefix) AS parts"
        .replace(":*", r"\:*")
    ), {"head": head, "begun": begun}).scalar_one())


def kilometres(row: Any, near: tuple[float, float]) -> float | None:
    if row.lat is None:
        return None
    one, other = map(math.radians, (row.lat, near[0]))
    turn = math.radians(row.lng - near[1])
    angle = math.sin((one - other) / 2) ** 2 + math.cos(one) * math.cos(other) * math.sin(turn / 2) ** 2
    return 2 * geo.EARTH_RADIUS_KM * math.asin(min(1, math.sqrt(angle)))


def expected(db: Session, query: SearchQuery) -> list[Any]:
    """The matches in order, found the slow way."""
    parameters = {"whole": whole_query(db, query), "place": query.location or ""}
    return sorted(
        (row for row in db.execute(sa.text(ORACLE), parameters) if fits(db, row, query)), key=lambda row: key(row, query),
        reverse=query.is_descending,
    )


def key(row: Any, query: SearchQuery) -> tuple[Any, int]:
    if query.order == "relevance":
        return 0, row.listing_id
    if query.order == "distance":
        assert query.near
        # Equal distances come in the order of ids even when the farthest are first.
        sign = -1 if query.is_descending else 1
        return round(kilometres(row, query.near) or 0, 6), sign * row.listing_id
    values = {"title": row.lower_title, "rating": row.rating, "price": row.price}
    return values.get(query.order, getattr(row, query.order, None)), row.listing_id


def fits(db: Session, row: Any, query: SearchQuery) -> bool:
    subtree = {"vehicles": {"vehicles", "cars", "bicycles"}, "electronics": {"electronics", "phones"}}
    distance = kilometres(row, query.near) if query.near else None
    west, south, east, north = query.bbox or (-180, -90, 180, 90)
    return all((
        query.text is None or row.has_text,
        query.category is None or row.category in subtree.get(query.category, {query.category}),
        query.location is None or row.has_place,
        query.min_price is None or row.price >= query.min_price,
        query.max_price is None or row.price <= query.max_price,
        {name.lower() for name in query.amenities} <= {name.lower() for name in row.amenities},
        query.verified is None or row.is_verified_listing == query.verified,
        query.owner is None or row.user_id == query.owner,
        query.order != "distance" or distance is not None,
        query.radius_km is None or (distance is not None and distance <= query.radius_km),
        query.bbox is None or (row.lat is not None and south <= row.lat <= north
                               and (west <= row.lng <= east if west <= east else row.lng >= west or row.lng <= east)),
    ))


def a_query(chance: random.Random, owner: int) -> SearchQuery:
    def maybe(value: Any, share: float = 0.25) -> Any:
        return value if chance.random() < share else None

    near = maybe((chance.choice((37.33, -18.14, 52.0)), chance.choice((-121.89, 179.5, -175.0))), 0.3)
    text = maybe(chance.choice((
        chance.choice(WORDS), " ".join(chance.sample(WORDS, 2)), chance.choice(WORDS)[:3], f"-{chance.choice(WORDS)}",
        f'"{chance.choice(WORDS)} {chance.choice(WORDS)}"', f"{chance.choice(WORDS)} or {chance.choice(WORDS)}",
    )), 0.5)
    prices = sorted((Decimal(chance.randint(0, 400)), Decimal(chance.randint(0, 400))))
    sorts = [None, "price", "date_created", "date_updated", "title", "rating", *(["distance"] if near else [])]
    return SearchQuery(
        text=text, category=maybe(chance.choice(SLUGS)), location=maybe(chance.choice(("suva", "San José, CA", "95112", "USA"))),
        min_price=maybe(prices[0]), max_price=maybe(prices[1]), amenities=tuple(maybe(("wifi",)) or ()),
        verified=maybe(chance.random() < 0.5), owner=maybe(owner, 0.1), near=near,
        radius_km=maybe(chance.choice((30.0, 300.0, 3000.0)), 0.5) if near else None,
        bbox=maybe(chance.choice(((170.0, -30.0, -160.0, 0.0), (-125.0, 35.0, -120.0, 40.0), (-180.0, -90.0, 180.0, 90.0)))),
        sort=chance.choice(sorts), descending=maybe(chance.random() < 0.5, 0.6),
    )


def ids(page: Page) -> list[int]:
    return [row.listing_id for row in page.items]


def walk_there_and_back(db: Session, query: SearchQuery, limit: int) -> list[int]:
    """All ids, page by page along the cursors; on the way back every page must read the same."""
    page = search(db, query, PageRequest(limit=limit))
    pages = [ids(page)]
    while page.next_cursor:
        page = search(db, query, PageRequest(limit=limit, cursor=page.next_cursor))
        assert page.page == len(pages) + 1
        pages.append(ids(page))
    for number in range(len(pages) - 1, 0, -1):
        assert page.prev_cursor is not None
        page = search(db, query, PageRequest(limit=limit, cursor=page.prev_cursor))
        assert (page.page, ids(page)) == (number, pages[number - 1])
    assert page.prev_cursor is None
    return [one for page_ids in pages for one in page_ids]


@pytest.mark.parametrize("state", ["noted", "folded", "bitmaps", "lagging"])
def test_any_search_equals_a_look_at_every_listing(db: Session, filled: random.Random, owner: int, state: str) -> None:
    """Whether changes are only noted, or folded into the counts, or into bitmaps too, or those lag behind."""
    if state != "noted":
        while compact_terms(db, batch=3000, frequent=9 if state != "folded" else 5000):
            pass
    if state == "lagging":
        for _ in range(40):
            add(db, owner, **a_listing(filled))
        db.execute(sa.text("UPDATE listings SET description = description || ' bike', status = 'active' WHERE listing_id % 5 = 0 AND suspended_from IS NULL"))
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
    for query in (SearchQuery(), SearchQuery(text="bike"), SearchQuery(text="running or lamp"), SearchQuery(category="vehicles", sort="price")):
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


@pytest.mark.parametrize("text", [
    "the", "of the", "!!!", "'", "''", "\\", "a\\' | b", ":*", "foo:*", "& | !", "((", "<->", "\x00", "\ud800", "x" * 5000, "-", '"', '"" -""',
    "😀", "\u202e\u200b", "%", "' OR 1=1 --", "#all", "'#all'", "#c=cars", "ﬁ", "or or or", "٣٤", "a" * 300, "%(x)s", ":x",
])
def test_no_text_is_an_error(db: Session, owner: int, text: str) -> None:
    add(db, owner, title="Something else")
    for query in (SearchQuery(text=text), SearchQuery(location=text), SearchQuery(amenities=(text,)), SearchQuery(text=f"else {text}")):
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
    for query in (SearchQuery(facets=FACETS, category="vehicles", verified=True), SearchQuery(text="camera lens", facets=FACETS)):
        matches = expected(db, query)
        found = search(db, query, PageRequest())
        assert 0 < len(matches) <= 60
        assert found.facets["capped"] is False
        for facet, values in (
            ("category", [row.category for row in matches]), ("city", [row.city for row in matches if row.city]),
            ("amenities", [name.lower() for row in matches for name in row.amenities]),
            ("verified", [row.is_verified_listing for row in matches]),
        ):
            assert {entry["value"]: entry["count"] for entry in found.facets[facet]} == {value: values.count(value) for value in values}
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


@pytest.mark.parametrize(("query", "name", "code"), [
    (SearchQuery(sort="distance"), "near", "required"), (SearchQuery(radius_km=5.0), "near", "required"),
    (SearchQuery(near=(0.0, 0.0), radius_km=-1.0), "radius_km", "too_small"), (SearchQuery(near=(91.0, 0.0)), "near", "not_a_place"),
    (SearchQuery(bbox=(0.0, 5.0, 1.0, 4.0)), "bbox", "not_a_box"), (SearchQuery(sort="size"), "sortBy", "unknown_sort"),
    (SearchQuery(min_price=Decimal(2), max_price=Decimal(1)), "min_price", "above_maximum"),
    (SearchQuery(category="bycicles"), "category", "unknown_category"), (SearchQuery(facets=("colour",)), "facets", "unknown_facet"),
])
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


def counts_of_terms(db: Session) -> dict[tuple[int, str], int]:
    rows = db.execute(sa.text(
        "SELECT kind, term, sum(count) FROM (SELECT kind, term, count FROM search_terms "
        "UNION ALL SELECT kind, term, delta FROM search_term_deltas) AS parts GROUP BY 1, 2 HAVING sum(count) <> 0"
    ))
    return {(row[0], row[1]): int(row[2]) for row in rows}


def test_the_counts_of_terms_are_exact(db: Session, filled: random.Random) -> None:
    kept = counts_of_terms(db)
    assert sum(iter(lambda: compact_terms(db, batch=500), 0)) > 0
    assert counts_of_terms(db) == kept
    assert db.execute(sa.text("SELECT count(*) FROM search_term_deltas")).scalar_one() == 0
    assert db.execute(sa.text("SELECT count(*) FROM search_terms WHERE count <= 0")).scalar_one() == 0
    recount_terms(db)
    assert counts_of_terms(db) == kept


def test_emptying_the_table_empties_the_counts(db: Session, filled: random.Random) -> None:
    db.execute(sa.text("TRUNCATE listings CASCADE"))
    assert counts_of_terms(db) == {}


def test_the_tree_counts_what_anyone_may_find(db: Session, filled: random.Random) -> None:
    nodes = {node.slug: node for node in categories.walk(categories.tree(db))}
    matches = expected(db, SearchQuery())
    assert nodes["cars"].count == nodes["cars"].total == sum(row.category == "cars" for row in matches)
    assert nodes["vehicles"].total == sum(row.category in ("vehicles", "cars", "bicycles") for row in matches)
    assert set(categories.descendants(db, "electronics")) == {"electronics", "computers", "phones", "audio", "cameras"}
    assert categories.descendants(db, "nothing") == ()
    assert categories.exists(db, "cars") and not categories.exists(db, "nothing")


def texts(db: Session, typed: str) -> list[str]:
    return [suggestion.text for suggestion in suggest(db, typed)]


@pytest.mark.parametrize("folded", [False, True])
def test_suggestions_complete_words_pairs_places_and_categories(db: Session, owner: int, folded: bool) -> None:
    for _ in range(2):
        add(db, owner, title="Mountain bike, red", category="bicycles", city="San José", state="CA")
    add(db, owner, title="The mountain")
    if folded:
        compact_terms(db)
    assert texts(db, "moun") == ["mountain", "mountain bike"]
    assert texts(db, "Mountain b") == ["mountain bike"]
    assert texts(db, "a cheap mountain bi")[0] == "mountain bike"
    assert "mountain" in texts(db, "mountian") and "mountain bike" in texts(db, "mountian bik")
    assert texts(db, "san jos") == ["San José, CA"] and "San José, CA" in texts(db, "san jose")
    assert [(one.kind, one.count) for one in suggest(db, "bicyc")] == [("category", 2)]
    assert texts(db, "the") == [] and texts(db, " ") == [] and texts(db, "%_") == []


@pytest.mark.parametrize("change", [
    "status = 'inactive'", "status = 'pending_verification'", "status = 'suspended', suspended_from = 'active'",
    "deleted_at = now()", "owner_hidden = true",
])
@pytest.mark.parametrize("folded", [False, True])
def test_what_a_stranger_may_not_see_is_nowhere(db: Session, owner: int, change: str, folded: bool) -> None:
    add(db, owner, title="Zeppelin ride", category="boats", city="Atlantis", amenities=["Trapdoor"], latitude=1, longitude=1)
    if folded:
        compact_terms(db)
    assert texts(db, "zepp") and texts(db, "atlan")
    db.execute(sa.text(f"UPDATE listings SET {change}"))
    for query in (SearchQuery(), SearchQuery(text="zeppelin"), SearchQuery(category="boats"), SearchQuery(location="Atlantis"),
                  SearchQuery(amenities=("trapdoor",)), SearchQuery(near=(1.0, 1.0), radius_km=9.0), SearchQuery(owner=owner)):
        found = search(db, SearchQuery(**{**{name: getattr(query, name) for name in query.__slots__}, "facets": FACETS}), PageRequest())
        assert found.total == 0 and not any(found.facets.values()), query
    assert not any(texts(db, typed) for typed in ("zepp", "zeppelni", "atlan", "zeppelin r", "boa"))
    assert all(node.total == 0 for node in categories.walk(categories.tree(db)))
    assert owned(db, owner, PageRequest(), statuses=None, include_private=False).total == 0


def test_owned(db: Session, filled: random.Random, owner: int) -> None:
    public = owned(db, owner, PageRequest(limit=50), statuses=None, include_private=False)
    assert ids(public) == [row.listing_id for row in expected(db, SearchQuery())][:50]
    assert (public.total, public.total_is_capped) == (60, True)
    sold = owned(db, owner, PageRequest(limit=50), statuses=("sold",), include_private=True)
    assert sold.items and {row.status for row in sold.items} == {"sold"} and all(row.deleted_at is None for row in sold.items)
    binned = owned(db, owner, PageRequest(limit=50), statuses=None, include_private=True, deleted=True)
    assert binned.items and all(row.deleted_at is not None for row in binned.items)
    second = owned(db, owner, PageRequest(limit=5, cursor=owned(db, owner, PageRequest(limit=5), statuses=None, include_private=False).next_cursor), statuses=None, include_private=False)
    assert ids(second) == ids(public)[5:10] and second.page == 2 and second.prev_cursor
    assert owned(db, owner + 1, PageRequest(), statuses=None, include_private=True).items == []
