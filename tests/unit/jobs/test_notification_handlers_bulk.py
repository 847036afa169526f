"""Bulk moderation is told once to each of those concerned, however many of their things it touched."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.domain.catalog.listings import editing
from marketplace_api.models.catalog.listings import Listing
from marketplace_api.models.kernel.events import Event
from tests.factories.accounts import make_user
from tests.factories.listings import make_listing
from tests.factories.notifications import handle, listed, told
from tests.unit.domain.trust.test_batches import BOSS, run, undo


def notify(db: Session) -> None:
    """What follows from batches: of the single things in them no jobs are made."""
    of_batches = sa.select(Event).where(Event.subject_type == "batch").order_by(Event.event_id)
    for event in db.execute(of_batches).scalars().all():
        handle(db, event)


def test_owners_are_told_once(db: Session) -> None:
    many, few, none = (make_user(db) for _ in range(3))
    fields = {"title": "Spam", "category": "cars", "price": 1, "photos_urls": [], "amenities": []}
    rows = [{**fields, "user_id": many.user_id} for _ in range(1_200)]
    db.execute(sa.insert(Listing), rows)
    one = make_listing(db, few, title="Spam too").listing_id
    make_listing(db, none, title="Chair")
    batch_id = run(db, "listings", "suspend", "title ~ spam")
    for _ in range(2):
        notify(db)
        (note,) = listed(db, many)
        assert (note.type, note.count) == ("listing_suspended", 1_200)
    assert told(db, many) == [
        ("listing_suspended", "1200 of your listings were taken down by a moderator; their pages tell you why.")
    ]
    assert [(note.count, note.listing_id) for note in listed(db, few)] == [(1, one)], "a single one is named"
    assert listed(db, many)[0].listing_id is None
    assert listed(db, none) == []

    editing.delete(db, BOSS, one)
    undo(db, batch_id)
    notify(db)
    assert [(note.type, note.count) for note in listed(db, many)] == [
        ("listing_reinstated", 1_200),
        ("listing_suspended", 1_200),
    ]
    assert [note.type for note in listed(db, few)] == ["listing_suspended"], "what was kept is not told of as restored"


def test_other_actions_are_not_told_of(db: Session) -> None:
    owner = make_user(db)
    make_listing(db, owner)
    undo(db, run(db, "listings", "delete", f"user_id = {owner.user_id}"))
    notify(db)
    assert listed(db, owner) == []
