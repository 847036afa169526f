"""Keeping listings: once, in order, countable, and also when they are taken down."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.config.settings import Settings
from marketplace_api.database.engines import Databases
from marketplace_api.domain.catalog import bookmarks
from marketplace_api.domain.identity.accounts import queries
from marketplace_api.domain.identity.accounts.config import AccountRules
from marketplace_api.domain.kernel import paging
from marketplace_api.domain.kernel.actors import operator
from marketplace_api.domain.kernel.paging import PageRequest
from marketplace_api.domain.privacy import erasure
from marketplace_api.domain.privacy import export as privacy_export
from marketplace_api.errors import Gone, NotFound
from marketplace_api.models.catalog.bookmarks import Bookmark
from tests.factories.accounts import make_user
from tests.factories.listings import make_listing
from tests.factories.reviews import actor_of, make_bookmark
from tests.unit.domain.identity.accounts_world import at_once


def test_a_second_bookmark_is_the_first(db: Session) -> None:
    user, listing = make_user(db), make_listing(db, make_user(db))
    first, was_there = bookmarks.add(db, actor_of(user), listing.listing_id)
    again, is_there = bookmarks.add(db, actor_of(user), listing.listing_id)
    assert (first.bookmark_id, was_there, is_there) == (again.bookmark_id, False, True)


def test_only_what_one_may_open_can_be_kept(db: Session) -> None:
    owner, stranger, moderator = make_user(db), make_user(db), make_user(db, roles=["moderator"])
    draft = make_listing(db, owner, status="draft")
    gone = make_listing(db, owner, deleted_at=owner.date_joined)
    for listing_id in (draft.listing_id, 10**15):
        with pytest.raises(NotFound):
            bookmarks.add(db, actor_of(stranger), listing_id)
    with pytest.raises(Gone):
        bookmarks.add(db, actor_of(stranger), gone.listing_id)
    for user in (owner, moderator):
        assert bookmarks.add(db, actor_of(user), draft.listing_id)[1] is False


def test_what_is_not_kept_cannot_be_removed(db: Session) -> None:
    user, listing = make_user(db), make_listing(db, make_user(db))
    make_bookmark(db, make_user(db), listing)
    with pytest.raises(NotFound):
        bookmarks.remove(db, actor_of(user), listing.listing_id)
    make_bookmark(db, user, listing)
    bookmarks.remove(db, actor_of(user), listing.listing_id)
    assert bookmarks.find(db, user.user_id, listing.listing_id) is None


def test_the_list_walks_both_ways_and_counts(db: Session) -> None:
    user, owner = make_user(db), make_user(db)
    listings = [make_listing(db, owner, title=f"Thing {number}") for number in range(5)]
    for listing in listings:
        make_bookmark(db, user, listing)
        make_bookmark(db, owner, listing)
    newest_first = [listing.listing_id for listing in reversed(listings)]
    first = bookmarks.list_page(db, user.user_id, PageRequest(limit=2))
    second = bookmarks.list_page(db, user.user_id, PageRequest(limit=2, cursor=first.next_cursor))
    back = bookmarks.list_page(db, user.user_id, PageRequest(limit=2, cursor=second.prev_cursor))
    assert [row.listing_id for row in (*first.items, *second.items)] == newest_first[:4]
    assert [row.listing_id for row in back.items] == newest_first[:2]
    assert first.total == 5
    assert bookmarks.list_page(db, user.user_id, PageRequest(page=3, limit=2)).items[0].listing_id == newest_first[4]
    assert bookmarks.list_page(db, make_user(db).user_id, PageRequest()).items == []


def test_marks_count_for_owners_and_moderators_only(db: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, keeper, moderator = make_user(db), make_user(db), make_user(db, roles=["moderator"])
    listing, other = make_listing(db, owner), make_listing(db, keeper)
    for user in (keeper, moderator):
        make_bookmark(db, user, listing)

    def told(user: Any) -> list[tuple[bool, int | None]]:
        marks = bookmarks.marks(db, actor_of(user), [listing, other])
        return [(marks[row.listing_id].bookmarked, marks[row.listing_id].bookmark_count) for row in (listing, other)]

    assert told(owner) == [(False, 2), (False, None)]
    assert told(keeper) == [(True, None), (False, 0)]
    assert told(moderator) == [(True, 2), (False, 0)]
    monkeypatch.setattr(paging, "TOTAL_CAP", 1)
    assert told(owner)[0] == (False, 1)


def test_keepers_in_parts(db: Session) -> None:
    listing = make_listing(db, make_user(db))
    users = [make_user(db) for _ in range(3)]
    for user in users:
        make_bookmark(db, user, listing)
    first = bookmarks.bookmarkers(db, listing.listing_id, limit=2)
    assert [*first, *bookmarks.bookmarkers(db, listing.listing_id, after=first[-1])] == [user.user_id for user in users]


def test_erasure_forgets_them_and_an_export_tells_them(db: Session, settings: Settings) -> None:
    user, listing = make_user(db), make_listing(db, make_user(db))
    make_bookmark(db, user, listing)
    assert [row["listing_id"] for row in privacy_export.collect(db, user.user_id)["bookmarks"]] == [listing.listing_id]
    locked, _now = queries.lock_user(db, user.user_id)
    erasure.erase_account(db, AccountRules.from_settings(settings), locked, operator("test"))
    assert privacy_export.collect(db, user.user_id)["bookmarks"] == []


def test_many_at_once_make_one(committed_databases: Databases) -> None:
    with committed_databases.session() as session:
        user, listing = make_user(session), make_listing(session, make_user(session))
    work = lambda session: bookmarks.add(session, actor_of(user), listing.listing_id)  # noqa: E731
    results = at_once(committed_databases, *[work] * 12)
    assert len({row.bookmark_id for row, _ in results}) == 1
    assert sorted(was_there for _, was_there in results) == [False, *[True] * 11]
    with committed_databases.session() as session:
        assert session.execute(sa.select(sa.func.count()).select_from(Bookmark)).scalar_one() == 1
