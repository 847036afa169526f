"""What the tests of search share: some hundred listings of every kind, and the slow way to find among them."""

from __future__ import annotations

import math
import random
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.domain.catalog.search import (
    SearchQuery,
    bitmaps,
    executor,
    facets,
    geo,
    plan,
    predicates,
    search,
    statements,
)
from marketplace_api.domain.kernel import paging
from marketplace_api.domain.kernel.paging import Page, PageRequest
from tests.support.postgres import as_owner

WORDS = [
    *("red", "mountain", "bike", "old", "city", "bicycle", "small", "running", "shoes", "café", "table", "lamp"),
    *("running", "fast", "garden", "chair", "wood", "the", "and", "of", "camera", "lens", "phone", "charger"),
    *("t-shirt", "O'Neill", "4x4"),
]
CITIES = (
    ("San José", "CA", 37.33, -121.89),
    ("Suva", "Central", -18.14, 178.44),
    ("Apia", "Upolu", -13.83, -171.76),
    ("Berlin", None, 52.52, 13.4),
    (None, None, None, None),
)
SLUGS = ("cars", "vehicles", "bicycles", "phones", "electronics", "other")
AMENITIES = ("WiFi", "Parking", "free delivery", "GPS")
STATES = ("active", "active", "active", "active", "sold", "inactive", "pending_verification")


@pytest.fixture
def few_is_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lower every threshold, so that some hundred listings go all the ways that millions would."""
    monkeypatch.setattr(paging, "TOTAL_CAP", 60)
    monkeypatch.setattr(predicates, "CAP", 61)
    monkeypatch.setattr(statements, "RANKED", 20)
    monkeypatch.setattr(facets, "CAP", 61)
    monkeypatch.setattr(bitmaps, "_MOST_RARE", 20)
    monkeypatch.setattr(executor, "_FEW", 10)
    monkeypatch.setattr(executor, "_MANY", 15)
    monkeypatch.setattr(plan, "_BLOCKS_PER_SIZE", 1)


@pytest.fixture
def owner(db: Session) -> int:
    return int(
        db.execute(
            sa.text("INSERT INTO users (username, email) VALUES ('o', 'o@example.org') RETURNING user_id")
        ).scalar_one()
    )


def add(db: Session, owner: int, **values: Any) -> int:
    values = {"user_id": owner, "title": "A thing", "category": "other", "price": 10, **values}
    names = ", ".join(values)
    statement = (
        f"INSERT INTO listings ({names}) VALUES ({', '.join(f':{name}' for name in values)}) RETURNING listing_id"
    )
    return int(db.execute(sa.text(statement), values).scalar_one())


def a_listing(chance: random.Random) -> dict[str, Any]:
    city, state, latitude, longitude = chance.choice(CITIES)
    ratings = chance.choice((0, 0, 1, 3))
    status = chance.choice(STATES)
    return {
        "title": " ".join(chance.choices(WORDS, k=chance.randint(1, 4))),
        "description": " ".join(chance.choices(WORDS, k=6)),
        "category": chance.choice(SLUGS),
        "price": Decimal(chance.randint(0, 400)),
        "city": city,
        "state": state,
        "address": "Secretgarden 5",
        "zip": chance.choice(("95112", None)),
        "country": "USA",
        "latitude": None if latitude is None else round(latitude + chance.gauss(0, 0.3), 6),
        "longitude": None if longitude is None else round((longitude + chance.gauss(0, 1.5) + 180) % 360 - 180, 6),
        "amenities": chance.sample(AMENITIES, chance.randint(0, 3)),
        "status": status,
        "is_verified_listing": chance.random() < 0.4,
        "rating_count": ratings,
        "rating_sum": ratings * chance.randint(1, 5),
        "owner_hidden": chance.random() < 0.05,
        "date_created": f"2026-0{chance.randint(1, 9)}-0{chance.randint(1, 9)}T00:00Z",
    }


@pytest.fixture
def filled(db: Session, owner: int) -> random.Random:
    chance = random.Random(11)
    # Ids far apart, so that blocks of them matter.
    with as_owner(db):
        db.execute(sa.text("SELECT setval(pg_get_serial_sequence('listings', 'listing_id'), 1000000)"))
    for number in range(260):
        if number % 20 == 0:
            with as_owner(db):
                db.execute(
                    sa.text("SELECT setval(pg_get_serial_sequence('listings', 'listing_id'), :to)"),
                    {"to": 1_000_000 + 9_000 * number},
                )
        add(db, owner, **a_listing(chance))
    db.execute(sa.text("UPDATE listings SET deleted_at = now() WHERE listing_id % 17 = 0"))
    db.execute(sa.text("UPDATE listings SET title = title || ' lens', city = 'Suva' WHERE listing_id % 13 = 0"))
    with as_owner(db):
        db.execute(sa.text("DELETE FROM listings WHERE listing_id % 19 = 0"))
    return chance


ORACLE = """
SELECT *, lower(title) AS lower_title, round(latitude, 2)::float8 AS lat, round(longitude, 2)::float8 AS lng,
    setweight(to_tsvector('marketplace', title), 'A') || to_tsvector('marketplace', replace(category, '-', ' '))
    || to_tsvector('marketplace', array_to_string(amenities, ' ')) || to_tsvector('marketplace', description)
    @@ (CAST(:whole AS tsquery)) AS has_text,
    to_tsvector('marketplace_plain', concat_ws(' ', city, state, zip, country))
    @@ plainto_tsquery('marketplace_plain', :place) AS has_place
FROM listings WHERE status = 'active' AND deleted_at IS NULL AND NOT owner_hidden
""".replace("::", r"\:\:")


WHOLE_QUERY = r"""
SELECT CASE WHEN :begun = '' OR numnode(last) = 0 THEN head ELSE head && (last || prefix) END
FROM (
    SELECT websearch_to_tsquery('marketplace', :head) AS head, websearch_to_tsquery('marketplace', :begun) AS last,
        CASE WHEN :begun <> '' THEN to_tsquery('marketplace_plain', :begun || CAST('\:*' AS text)) END AS prefix
) AS parts
"""


def whole_query(db: Session, query: SearchQuery) -> str:
    """The text as one tsquery: its last word may be unfinished."""
    text = query.text or ""
    *words, last = text.split(" ")
    is_begun = last.isalnum() and len(last) > 2 and "or" not in words and '"' not in text
    parts = {"head": " ".join(words), "begun": last} if is_begun else {"head": text, "begun": ""}
    return str(db.execute(sa.text(WHOLE_QUERY), parts).scalar_one())


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
        (row for row in db.execute(sa.text(ORACLE), parameters) if fits(db, row, query)),
        key=lambda row: key(row, query),
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
    return all(
        (
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
            query.bbox is None
            or (
                row.lat is not None
                and south <= row.lat <= north
                and (west <= row.lng <= east if west <= east else row.lng >= west or row.lng <= east)
            ),
        )
    )


def a_query(chance: random.Random, owner: int) -> SearchQuery:
    def maybe(value: Any, share: float = 0.25) -> Any:
        return value if chance.random() < share else None

    near = maybe((chance.choice((37.33, -18.14, 52.0)), chance.choice((-121.89, 179.5, -175.0))), 0.3)
    text = maybe(
        chance.choice(
            (
                chance.choice(WORDS),
                " ".join(chance.sample(WORDS, 2)),
                chance.choice(WORDS)[:3],
                f"-{chance.choice(WORDS)}",
                f'"{chance.choice(WORDS)} {chance.choice(WORDS)}"',
                f"{chance.choice(WORDS)} or {chance.choice(WORDS)}",
            )
        ),
        0.5,
    )
    prices = sorted((Decimal(chance.randint(0, 400)), Decimal(chance.randint(0, 400))))
    sorts = [None, "price", "date_created", "date_updated", "title", "rating", *(["distance"] if near else [])]
    return SearchQuery(
        text=text,
        category=maybe(chance.choice(SLUGS)),
        location=maybe(chance.choice(("suva", "San José, CA", "95112", "USA"))),
        min_price=maybe(prices[0]),
        max_price=maybe(prices[1]),
        amenities=tuple(maybe(("wifi",)) or ()),
        verified=maybe(chance.random() < 0.5),
        owner=maybe(owner, 0.1),
        near=near,
        radius_km=maybe(chance.choice((30.0, 300.0, 3000.0)), 0.5) if near else None,
        bbox=maybe(
            chance.choice(((170.0, -30.0, -160.0, 0.0), (-125.0, 35.0, -120.0, 40.0), (-180.0, -90.0, 180.0, 90.0)))
        ),
        sort=chance.choice(sorts),
        descending=maybe(chance.random() < 0.5, 0.6),
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
