"""Search after a batch and its undoing finds, counts and suggests what it did before; readers find no list to go through."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.domain.catalog.search import FACETS, SearchQuery, compact_terms, recount_terms, search, suggest
from marketplace_api.domain.kernel.paging import PageRequest
from tests.support import postgres
from tests.unit.domain.catalog.search_world import add, expected, filled, owner
from tests.unit.domain.catalog.test_search_terms import counts_of_terms
from tests.unit.domain.trust.test_batches import run, undo

__all__ = ["filled", "owner"]

SHAPES = (
    SearchQuery(),
    SearchQuery(text="red bike"),
    SearchQuery(text="lam"),
    SearchQuery(text='"old city"'),
    SearchQuery(category="vehicles", min_price=Decimal(50)),
    SearchQuery(amenities=("wifi", "gps")),
    SearchQuery(location="Suva"),
    SearchQuery(verified=True, sort="title"),
    SearchQuery(sort="rating"),
    SearchQuery(max_price=Decimal(200), sort="price", descending=False),
    SearchQuery(sort="date_updated"),
    SearchQuery(near=(37.3, -121.9), radius_km=40.0),
    SearchQuery(bbox=(-130.0, 30.0, -110.0, 40.0)),
)


def waiting(db: Session) -> int:
    """Pages of entries that somebody left for others to bring into the index; only its owner may ask."""
    with postgres.as_owner(db):
        found: int = db.scalar(sa.text("SELECT gin_clean_pending_list('ix_listings_search_document')"))
    return found


def found(db: Session, query: SearchQuery) -> tuple[Any, ...]:
    page = search(db, SearchQuery(**{**_fields(query), "facets": FACETS}), PageRequest(limit=100))
    return [row.listing_id for row in page.items], page.total, page.facets


def _fields(query: SearchQuery) -> dict[str, Any]:
    return {name: getattr(query, name) for name in SearchQuery.__slots__}


def test_a_batch_and_its_undoing_leave_search_as_it_was(db: Session, filled: random.Random) -> None:
    recount_terms(db)
    before = [found(db, query) for query in SHAPES]
    counts, suggested = counts_of_terms(db), suggest(db, "ber")
    batch_id = run(db, "listings", "suspend", "price < 300")
    for query in SHAPES:
        assert set(found(db, query)[0]) <= {row.listing_id for row in expected(db, query)}
    while compact_terms(db, batch=500):
        pass
    assert [found(db, query)[1] for query in SHAPES] == [len(expected(db, query)) for query in SHAPES]
    undo(db, batch_id)
    assert [found(db, query) for query in SHAPES] == before, "before the job has folded anything"
    while compact_terms(db, batch=500):
        pass
    assert [found(db, query) for query in SHAPES] == before
    assert (counts_of_terms(db), suggest(db, "ber")) == (counts, suggested)
    recount_terms(db)
    assert counts_of_terms(db) == counts


def test_writers_leave_no_list_for_readers(db: Session, owner: int) -> None:
    """Every statement brings its own entries into the index; what is left would be read by every search."""
    listing_id = add(db, owner, title="Lamp")
    assert waiting(db) == 0, "an insert"
    db.execute(sa.text("UPDATE listings SET title = 'Chair' WHERE listing_id = :id"), {"id": listing_id})
    assert waiting(db) == 0, "other words"
    db.execute(sa.text("UPDATE listings SET price = price + 1 WHERE listing_id = :id"), {"id": listing_id})
    assert waiting(db) == 0, "the same words in another place"
    undo(db, run(db, "listings", "suspend", f"user_id = {owner}"))
    assert waiting(db) == 0, "many at once"
