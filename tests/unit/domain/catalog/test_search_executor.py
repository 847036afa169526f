"""The shorter ways to the same answer: strips of the map, the newest blocks of bitmaps, completions worth a visit."""

from __future__ import annotations

import random

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.domain.catalog.search import (
    SearchQuery,
    bitmaps,
    compact_terms,
    executor,
    geo,
    predicates,
    search,
    statements,
    statistics,
)
from marketplace_api.domain.kernel import paging
from marketplace_api.domain.kernel.paging import PageRequest
from tests.unit.domain.catalog.search_world import add, expected, few_is_many, filled, owner

__all__ = ["few_is_many", "filled", "owner"]

SPOT = "SELECT spot, round(latitude, 2)::float8, round(longitude, 2)::float8 FROM listings WHERE spot IS NOT NULL"


def test_strips_hold_what_a_box_holds_and_nothing_else(db: Session, owner: int) -> None:
    chance = random.Random(5)
    edges = [-90, 90, -89.99, 12.3, 12.34, 12.35, 0, -0.01, 0.1, 1.1, 29.45]
    for _ in range(120):
        latitude = chance.choice(edges) if chance.random() < 0.6 else chance.uniform(11, 13)
        longitude = chance.choice((-180, 180, -179.99, 0, 1.1, 8.2, 8.25)) if chance.random() < 0.6 else 8.21
        add(db, owner, latitude=round(latitude, 6), longitude=longitude)
    spots = db.execute(sa.text(SPOT.replace("::", r"\:\:"))).all()
    assert len(spots) == 120
    for _ in range(300):
        south, north = sorted(chance.choice(edges) + chance.choice((0, 0, 0.005, -0.001)) for _ in range(2))
        west, east = (chance.choice((-180, -179.99, 0, 1.1, 8.2, 8.215, 8.25, 180)) for _ in range(2))
        box = (west, max(south, -90.0), east, min(north, 90.0))
        ranges = list(geo.strips(geo.boxes_of(box)))
        for spot, latitude, longitude in spots:
            is_between = west <= longitude <= east if west <= east else longitude >= west or longitude <= east
            held = sum(strip.first <= spot <= strip.last and strip.low <= spot % 10 <= strip.high for strip in ranges)
            assert held == (is_between and box[1] <= latitude <= box[3]), (box, latitude, longitude)


def test_only_the_newest_blocks_are_read_where_there_are_more_matches_than_are_counted(
    db: Session, filled: random.Random, few_is_many: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    while compact_terms(db, batch=3000, frequent=9):
        pass
    monkeypatch.setattr(predicates, "CAP", 41)
    monkeypatch.setattr(paging, "TOTAL_CAP", 40)
    query = SearchQuery(text="running")
    known = statistics.read(db, query)
    assert known.counts["run"] >= predicates.CAP
    monkeypatch.setattr(bitmaps, "_MARGIN", 1)
    run = executor.plan.make(query, known)
    # Their ids are far apart, so that a guess from the density of all would take too few blocks and read again.
    assert bitmaps.newest(run, statements.RANKED) > 1_000_000 >> 12
    narrow = search(db, query, PageRequest(limit=10))
    monkeypatch.setattr(bitmaps, "newest", lambda *_: 0)
    whole = search(db, query, PageRequest(limit=10))
    assert [row.listing_id for row in narrow.items] == [row.listing_id for row in whole.items]
    assert narrow.total == whole.total and narrow.total_is_capped and whole.total_is_capped
    assert {row.listing_id for row in narrow.items} <= {row.listing_id for row in expected(db, query)}


def test_of_rare_completions_only_so_many_are_visited(db: Session, owner: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, word in enumerate(("zeppelin", "zephyr", "zebra", "zen")):
        for _ in range(4 - number):
            add(db, owner, title=word)
    assert search(db, SearchQuery(text="zep"), PageRequest()).total == 7
    monkeypatch.setattr(statistics, "_MOST_RARE", 4)
    assert search(db, SearchQuery(text="zep"), PageRequest()).total == 4
    assert search(db, SearchQuery(text="zephyr"), PageRequest()).total == 3, "what is written in full is always found"
    monkeypatch.setattr(statistics, "FREQUENT", 3)
    assert search(db, SearchQuery(text="zep"), PageRequest()).total == 7, "what has bitmaps costs nothing to visit"
