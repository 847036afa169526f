"""Importing listings: what is stored, what is refused, and that a second run adds only what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from decimal import Decimal
from threading import Barrier
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.config.settings import Settings
from marketplace_api.database.engines import Databases
from marketplace_api.domain.catalog.listings import import_ as listing_import
from marketplace_api.domain.catalog.listings import owners
from marketplace_api.domain.catalog.listings.import_ import ImportCounts, ImportOptions, Reports, Row
from marketplace_api.domain.identity.accounts.config import AccountRules
from marketplace_api.domain.kernel.actors import operator
from marketplace_api.errors import Conflict, FieldError, Invalid
from marketplace_api.models.catalog.listings import Listing
from marketplace_api.models.identity.accounts import User
from marketplace_api.models.kernel.events import Event
from tests.factories.accounts import make_user

RULES = AccountRules.from_settings(Settings())
DEFAULTS = {
    "description": "",
    "category": "cars",
    "price": Decimal("10.00"),
    "currency": "USD",
    "location": None,
    "photos_urls": (),
    "amenities": (),
    "status": "active",
}


def validate(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """Stands for the API's schema: fills in defaults and refuses what has no title."""
    if not raw.get("title"):
        raise Invalid("No.", errors=[FieldError("body", "title", "required", "This field is required.")])
    return {**DEFAULTS, "owner_email": "ada@people.example", **raw}


class Run:
    """Runs imports and keeps what they report."""

    def __init__(self, databases: Databases) -> None:
        self.databases = databases
        self.bad: list[tuple[int, str, str]] = []
        self.batches: list[ImportCounts] = []

    def __call__(self, *rows: Row, **options: Any) -> ImportCounts:
        return self.numbered(enumerate(rows, 1), **options)

    def numbered(self, rows: Any, **options: Any) -> ImportCounts:
        return listing_import.import_listings(
            self.databases,
            RULES,
            operator("tests"),
            rows,
            validate,
            options=ImportOptions("things.csv", **options),
            reports=Reports(lambda *found: self.bad.append(found), self.batches.append),
        )


@pytest.fixture
def run(databases: Databases) -> Run:
    return Run(databases)


@pytest.fixture
def ada(db: Session) -> User:
    user = make_user(db, username="ada", email="Ada@people.example")
    db.commit()
    return user


def listings(db: Session) -> list[Listing]:
    db.expire_all()
    return list(db.scalars(sa.select(Listing).order_by(Listing.listing_id)))


def test_a_row_arrives_whole(run: Run, db: Session, ada: User) -> None:
    place = {"city": "Rome", "latitude": Decimal("41.900000"), "longitude": Decimal("12.5")}
    row = {
        "title": "Boat",
        "category": "boats",
        "price": Decimal("1200.50"),
        "currency": "EUR",
        "location": place,
        "amenities": ["oars", "sails, two"],
        "photos_urls": ["https://x.example/1.jpg"],
        "status": "draft",
    }

    assert run(row) == ImportCounts(read=1, created=1)

    (listing,) = listings(db)
    assert (listing.user_id, listing.title, listing.category, listing.status) == (ada.user_id, "Boat", "boats", "draft")
    assert (listing.price, listing.currency, listing.city) == (Decimal("1200.50"), "EUR", "Rome")
    assert (listing.latitude, listing.longitude, listing.address) == (Decimal("41.9"), Decimal("12.5"), None)
    assert listing.amenities == ["oars", "sails, two"]
    assert listing.photos_urls == ["https://x.example/1.jpg"]
    assert listing.import_key is not None and len(listing.import_key) == 32


def test_bad_rows_are_told_and_the_others_stored(run: Run, db: Session, ada: User) -> None:
    counts = run(
        {"title": "Good"},
        {"title": ""},
        Invalid("broken", errors=[FieldError("body", "", "unreadable", "This row has 2 cells.")]),
        {"title": "Nowhere", "category": "spaceships"},
        {"title": "Half", "location": {"latitude": Decimal(1)}},
        {"title": "Stranger", "owner_email": "nobody@people.example"},
        {"title": "Also good"},
    )

    assert counts == ImportCounts(read=7, created=2, bad=5)
    assert [(number, name) for number, name, _ in run.bad] == [
        (2, "title"),
        (3, ""),
        (4, "category"),
        (5, "location"),
        (6, "owner_email"),
    ]
    assert run.bad[0][2] == "This field is required."
    assert "nobody@people.example" in run.bad[4][2]
    assert [listing.title for listing in listings(db)] == ["Good", "Also good"]


def test_one_row_may_have_several_faults(run: Run, ada: User) -> None:
    counts = run({"title": "X", "category": "?", "location": {"longitude": Decimal(1)}})
    assert counts.bad == 1
    assert len(run.bad) == 2


@pytest.mark.parametrize("state", ["suspended", "banned", "deactivated"])
def test_an_owner_who_may_not_sell_gets_nothing(run: Run, db: Session, ada: User, state: str) -> None:
    ada.state = state
    ada.deactivated_at = sa.func.now() if state == "deactivated" else None
    db.commit()
    assert run({"title": "X"}, create_owners=True).bad == 1
    assert run.bad == [(1, "owner_email", f"The account ada@people.example is {state}.")]


def test_owners_are_made_on_request(run: Run, db: Session, ada: User) -> None:
    rows = [
        {"title": "A", "owner_email": "ada@shop.example"},
        {"title": "B", "owner_email": "ADA@shop.example"},
        {"title": "C", "owner_email": "x@shop.example"},
        {"title": "D", "owner_email": "zoë+cars@shop.example"},
        {"title": "E", "owner_email": "deleted-7@shop.example"},
    ]

    assert run(*rows, create_owners=True) == ImportCounts(read=5, created=5, owners_created=4)

    made = list(db.scalars(sa.select(User).where(User.email.like("%@shop.example")).order_by(User.email)))
    assert [user.username for user in made] == ["ada-2", "deleted-7-2", "seller-x", "zoe-cars"]
    assert all(user.password_hash is None and user.email_confirmed_at is None for user in made)
    assert all(user.roles == ["customer"] for user in made)


def test_a_second_run_adds_nothing(run: Run, db: Session, ada: User) -> None:
    rows = [{"title": f"Thing {number}"} for number in range(7)]
    assert run(*rows, batch=3).created == 7
    assert run(*rows, batch=2) == ImportCounts(read=7, skipped=7)
    assert len(listings(db)) == 7


def test_equal_rows_are_all_stored_once_each(run: Run, db: Session, ada: User) -> None:
    rows = [{"title": "Same"}] * 5
    assert run(*rows, batch=2).created == 5
    assert run(*rows, batch=3).skipped == 5
    assert run(*rows, {"title": "Same"}) == ImportCounts(read=6, created=1, skipped=5)


def test_writing_a_value_differently_makes_no_other_row(run: Run, ada: User) -> None:
    run({"title": "X", "price": Decimal("10.00"), "amenities": ()})
    again = {"title": "X", "price": Decimal("1E+1"), "amenities": [], "owner_email": "ADA@People.example"}
    assert run(again).skipped == 1


def test_a_changed_row_is_a_new_listing(run: Run, db: Session, ada: User) -> None:
    run({"title": "X", "price": Decimal(10)})
    assert run({"title": "X", "price": Decimal(11)}).created == 1
    assert len(listings(db)) == 2


def test_what_was_deleted_stays_deleted(run: Run, db: Session, ada: User) -> None:
    run({"title": "X"})
    db.execute(sa.update(Listing).values(deleted_at=sa.func.now()))
    db.commit()
    assert run({"title": "X"}).skipped == 1


def test_a_rehearsal_counts_and_writes_nothing(run: Run, db: Session, ada: User) -> None:
    run({"title": "Old"})
    events = db.scalar(sa.select(sa.func.count()).select_from(Event))
    rows = [
        {"title": "Old"},
        {"title": "New"},
        {"title": ""},
        *({"title": f"{number}", "owner_email": "new@shop.example"} for number in range(3)),
    ]

    counts = run(*rows, create_owners=True, dry_run=True, batch=2)

    assert counts == ImportCounts(read=6, created=4, skipped=1, bad=1, owners_created=1)
    assert run(*rows, dry_run=True).bad == 4, "without --create-owners the owners are unknown"
    assert len(listings(db)) == 1
    assert db.scalar(sa.select(sa.func.count()).select_from(User)) == 1
    assert db.scalar(sa.select(sa.func.count()).select_from(Event)) == events
    assert run(*rows, create_owners=True) == counts


def test_each_batch_that_wrote_has_its_event(run: Run, db: Session, ada: User) -> None:
    run(*({"title": f"{number}"} for number in range(5)), {"title": ""}, batch=4)
    run(*({"title": f"{number}"} for number in range(5)), batch=4)
    # What is there already takes no ids, so that the new ones stay one range.
    run(
        *({"title": f"{number}"} for number in (5, 0, 6, 1, 7)),
        {"title": ""},
        {"title": "8", "owner_email": "no@b.example"},
    )

    ids = [listing.listing_id for listing in listings(db)]
    events = list(db.scalars(sa.select(Event).where(Event.type == "listing.imported").order_by(Event.event_id)))
    assert [event.new for event in events] == [
        {"file": "things.csv", **asdict(counts), "listing_ids": [[ids[first], ids[last]]]}
        for counts, first, last in (
            (ImportCounts(read=4, created=4), 0, 3),
            (ImportCounts(read=2, created=1, bad=1), 4, 4),
            (ImportCounts(read=7, created=3, skipped=2, bad=2), 5, 7),
        )
    ]
    assert listing_import.ranges([9, 3, 4, 7, 5]) == [[3, 5], [7, 7], [9, 9]]
    assert events[0].actor_name == "tests"
    assert run.batches[:2] == [ImportCounts(read=4, created=4), ImportCounts(read=2, created=1, bad=1)]


def test_what_interrupts_leaves_whole_batches(run: Run, db: Session, ada: User) -> None:
    def rows() -> Iterator[tuple[int, Row]]:
        yield from ((number, {"title": f"{number}"}) for number in range(5))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.numbered(rows(), batch=2)

    assert [listing.title for listing in listings(db)] == ["0", "1", "2", "3"]
    assert run(*({"title": f"{number}"} for number in range(5))) == ImportCounts(read=5, created=1, skipped=4)


def test_an_account_that_somebody_else_makes_meanwhile_is_taken(
    run: Run, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [{}, None]
    find = owners.find

    def late(*args: Any, **options: Any) -> Any:
        answer = answers.pop(0) if answers else None
        return find(*args, **options) if answer is None else answer

    monkeypatch.setattr(owners, "find", late)
    assert run({"title": "X"}, create_owners=True) == ImportCounts(read=1, created=1)

    monkeypatch.setattr(owners, "find", lambda *_args, **_options: {})
    with pytest.raises(Conflict):
        run({"title": "Y"}, create_owners=True)


def test_two_imports_at_once_store_each_row_once(committed_databases: Databases) -> None:
    rows = [{"title": f"{number}", "owner_email": f"o{number % 9}@shop.example"} for number in range(300)]
    barrier = Barrier(2)

    def work(some: list[dict[str, str]]) -> ImportCounts:
        barrier.wait()
        return Run(committed_databases)(*some, create_owners=True, batch=50)

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(work, [rows, rows[::-1]])

    assert first.created + second.created == 300
    assert first.owners_created + second.owners_created == 9
    assert first.skipped + second.skipped == 300
