"""The counts of terms are exact at every moment; suggestions and the category tree stand on them."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database.engines import Databases
from marketplace_api.domain.catalog import categories
from marketplace_api.domain.catalog.search import (
    FACETS,
    SearchQuery,
    compact_terms,
    owned,
    recount_terms,
    search,
    suggest,
)
from marketplace_api.domain.kernel.paging import PageRequest
from tests.support.postgres import as_owner
from tests.unit.domain.catalog.search_world import add, expected, filled, owner

__all__ = ["filled", "owner"]


def counts_of_terms(db: Session) -> dict[tuple[int, str], int]:
    rows = db.execute(
        sa.text(
            "SELECT kind, term, sum(count) FROM (SELECT kind, term, count FROM search_terms "
            "UNION ALL SELECT kind, term, delta FROM search_term_deltas) AS parts GROUP BY 1, 2 HAVING sum(count) <> 0"
        )
    )
    return {(row[0], row[1]): int(row[2]) for row in rows}


def test_the_counts_of_terms_are_exact(db: Session, filled: random.Random) -> None:
    kept = counts_of_terms(db)
    assert sum(iter(lambda: compact_terms(db, batch=500), 0)) > 0
    assert counts_of_terms(db) == kept
    assert db.execute(sa.text("SELECT count(*) FROM search_term_deltas")).scalar_one() == 0
    assert db.execute(sa.text("SELECT count(*) FROM search_terms WHERE count <= 0")).scalar_one() == 0
    recount_terms(db)
    assert counts_of_terms(db) == kept


def test_writers_and_the_folding_do_not_disturb_each_other(committed_databases: Databases) -> None:
    """Three people publish, edit and remove while a job folds; nobody waits for long and nothing is counted wrong."""
    with committed_databases.session() as session:
        insert = "INSERT INTO users (username, email) VALUES ('o', 'o@example.org') RETURNING user_id"
        owner = int(session.execute(sa.text(insert)).scalar_one())
        session.commit()

    def write(writer: int) -> None:
        for number in range(12):
            with committed_databases.session() as session:
                listing_id = add(session, owner, title=f"Red bike {number % 3}", description=f"writer {writer}")
                session.commit()
                change = "UPDATE listings SET title = 'Blue kite'" if number % 3 else "DELETE FROM listings"
                with as_owner(session):
                    session.execute(sa.text(f"{change} WHERE listing_id = :id"), {"id": listing_id})
                session.commit()

    def fold(_: int) -> None:
        for _round in range(25):
            with committed_databases.session() as session:
                compact_terms(session, batch=200, frequent=5)
                session.commit()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda work: work[0](work[1]), [(write, 1), (write, 2), (write, 3), (fold, 0)]))
    with committed_databases.session() as session:
        kept = counts_of_terms(session)
        assert kept[0, "kite"] == 24 and (0, "bike") not in kept
        assert search(session, SearchQuery(text="kite"), PageRequest()).total == 24
        while compact_terms(session, frequent=5):
            pass
        held = "SELECT term, sum(bit_count(bits)) FROM search_bitmaps GROUP BY 1 HAVING sum(bit_count(bits)) > 0"
        assert {(0, term): count for term, count in session.execute(sa.text(held))}.items() <= kept.items()
        recount_terms(session)
        assert counts_of_terms(session) == kept


def test_emptying_the_table_empties_the_counts(db: Session, filled: random.Random) -> None:
    with as_owner(db):
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


@pytest.mark.parametrize(
    "change",
    [
        "status = 'inactive'",
        "status = 'pending_verification'",
        "status = 'suspended', suspended_from = 'active'",
        "deleted_at = now()",
        "owner_hidden = true",
    ],
)
@pytest.mark.parametrize("folded", [False, True])
def test_what_a_stranger_may_not_see_is_nowhere(db: Session, owner: int, change: str, folded: bool) -> None:
    add(
        db,
        owner,
        title="Zeppelin ride",
        category="boats",
        city="Atlantis",
        amenities=["Trapdoor"],
        latitude=1,
        longitude=1,
    )
    if folded:
        compact_terms(db)
    assert texts(db, "zepp") and texts(db, "atlan")
    db.execute(sa.text(f"UPDATE listings SET {change}"))
    for query in (
        SearchQuery(),
        SearchQuery(text="zeppelin"),
        SearchQuery(category="boats"),
        SearchQuery(location="Atlantis"),
        SearchQuery(amenities=("trapdoor",)),
        SearchQuery(near=(1.0, 1.0), radius_km=9.0),
        SearchQuery(owner=owner),
    ):
        found = search(
            db,
            SearchQuery(**{**{name: getattr(query, name) for name in query.__slots__}, "facets": FACETS}),
            PageRequest(),
        )
        assert found.total == 0 and not any(found.facets.values()), query
    assert not any(texts(db, typed) for typed in ("zepp", "zeppelni", "atlan", "zeppelin r", "boa"))
    assert all(node.total == 0 for node in categories.walk(categories.tree(db)))
    assert owned(db, owner, PageRequest(), statuses=None, include_private=False).total == 0
