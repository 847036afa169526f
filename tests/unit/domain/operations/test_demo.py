"""The demo data: it loads once, everywhere but in production, and what it holds would pass the API."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.config.settings import Settings
from marketplace_api.database.embedded_postgres import EmbeddedPostgres
from marketplace_api.database.engines import Databases, make_databases
from marketplace_api.domain.identity.passwords import verify_password
from marketplace_api.domain.operations import demo
from marketplace_api.domain.operations.demo import fixtures, messages, placeholder_images
from marketplace_api.errors import Forbidden, Unavailable
from marketplace_api.gateways.storage import make_storage
from marketplace_api.jobs.dispatch import dispatch
from marketplace_api.models.catalog.bookmarks import Bookmark
from marketplace_api.models.catalog.categories import Category
from marketplace_api.models.catalog.listings import STATUSES, Listing
from marketplace_api.models.catalog.photos import ListingPhoto
from marketplace_api.models.community.conversations import Block, Conversation, ConversationSide, Inbox, Message
from marketplace_api.models.community.reviews import Review
from marketplace_api.models.identity.accounts import User
from marketplace_api.models.identity.pictures import UserPicture
from marketplace_api.models.kernel.events import Event
from marketplace_api.models.media.files import File
from marketplace_api.models.trust.reports import Report
from marketplace_api.models.trust.verifications import Verification
from marketplace_api.schemas.catalog.listings import CreateListing
from marketplace_api.schemas.community.conversations import SendMessage
from marketplace_api.schemas.community.reviews import PostReview
from tests.support import postgres

LISTINGS = fixtures.listings()
OWNERS = {row["title"]: row["owner"] for row in LISTINGS}


@dataclass(frozen=True)
class Loaded:
    """A database with the demo data; ``cut_off`` are the numbers of accounts, listings and messages that an attempt
    before it had left."""

    databases: Databases
    cut_off: tuple[int, int, int]


@pytest.fixture(scope="module")
def load(postgres_server: EmbeddedPostgres, template_database: str, settings: Settings) -> Iterator[Loaded]:
    """Loaded as the command line does it, with the jobs' hook: once in vain, then by two at the same time."""
    name = f"demo_market_{uuid4().hex[:12]}"
    url = postgres.clone_database(postgres_server, template_database, name)
    databases = make_databases(url, on_event=dispatch, system=True)

    def stop(text: str) -> None:
        if ": 100 of" in text:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        draw_small(patch)
        with pytest.raises(KeyboardInterrupt):
            demo.load_once(databases, settings, stop)
        with databases.session() as session:
            cut_off = (count(session, User), count(session, Listing), count(session, Message))
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda _: demo.load_once(databases, settings), range(2)))
        yield Loaded(databases, cut_off)
    databases.dispose()
    postgres.drop_database(postgres_server, name)


@pytest.fixture
def market(load: Loaded) -> Databases:
    return load.databases


@pytest.fixture
def loaded(market: Databases) -> Iterator[Session]:
    with market.session() as session:
        yield session


def draw_small(patch: pytest.MonkeyPatch) -> None:
    """Half of the time goes into drawing; large ones are drawn by the tests of the tour."""
    patch.setattr(placeholder_images, "WIDTH", 640)
    patch.setattr(placeholder_images, "HEIGHT", 480)


def count(session: Session, model: Any, *conditions: Any) -> int:
    return session.execute(sa.select(sa.func.count()).select_from(model).where(*conditions)).scalar_one()


def test_the_market_is_full_and_varied(loaded: Session) -> None:
    assert count(loaded, User) == 20
    assert count(loaded, Listing) == len(LISTINGS) >= 200

    used = set(loaded.scalars(sa.select(Listing.category)))
    parents = set(loaded.scalars(sa.select(Category.parent_slug)))
    assert set(loaded.scalars(sa.select(Category.slug))) - parents <= used, "every leaf of the tree has something"
    assert set(loaded.scalars(sa.select(Listing.currency))) == {"USD", "EUR", "CAD", "GBP"}
    assert len(set(loaded.scalars(sa.select(Listing.city)))) >= 15

    statuses = dict(loaded.execute(sa.select(Listing.status, sa.func.count()).group_by(Listing.status)).all())
    assert statuses["active"] > 150
    assert set(statuses) == set(STATUSES)
    assert statuses["pending_verification"] >= 3
    assert count(loaded, Listing, Listing.is_verified_listing) >= 20
    assert loaded.scalars(sa.select(Listing.status_reason).where(Listing.status == "suspended")).one()


def test_most_listings_have_photos_and_no_two_are_alike(loaded: Session, settings: Settings) -> None:
    counts = Counter(loaded.scalars(sa.select(Listing.photo_count)))
    assert set(counts) == {0, 1, 2, 3}
    assert counts[0] < len(LISTINGS) / 2
    assert count(loaded, ListingPhoto) == sum(number * times for number, times in counts.items())
    files = loaded.execute(sa.select(File.key, File.size, File.sha256).where(File.state == "stored")).all()
    assert len(files) == 3 * count(loaded, ListingPhoto) + 2 * count(loaded, UserPicture) + count(loaded, Verification)
    assert len({file.sha256 for file in files}) == len(files)
    storage = make_storage(settings)
    for file in files[::25]:
        kept = storage.find(file.key)
        assert kept is not None
        assert kept.size == file.size
    assert set(loaded.scalars(sa.select(ListingPhoto.width))) == {placeholder_images.WIDTH}


def test_everybody_has_a_picture(loaded: Session) -> None:
    addresses = set(loaded.scalars(sa.select(User.profile_picture_url)))
    assert addresses == {f"/files/{key}" for key in loaded.scalars(sa.select(UserPicture.card_key))}
    assert len(addresses) == 20


def test_people_talk(loaded: Session) -> None:
    assert 30 <= count(loaded, Conversation) <= 50
    assert count(loaded, Conversation) == len(list(fixtures.talks()))
    lengths = list(loaded.scalars(sa.select(sa.func.count(Message.message_id)).group_by(Message.conversation_id)))
    assert 3 <= min(lengths) <= max(lengths) <= 12
    unread = dict(loaded.execute(sa.select(Inbox.user_id, Inbox.unread_count)).all())
    assert sum(unread.values()) == sum(talk.unread for talk in fixtures.talks()) >= 5
    assert count(loaded, ConversationSide, ConversationSide.archived) == 2
    assert count(loaded, Block) == 2


def test_people_have_opinions_and_keep_things(loaded: Session) -> None:
    assert 60 <= count(loaded, Review) <= 100
    assert set(loaded.scalars(sa.select(Review.rating))) == {1, 2, 3, 4, 5}
    assert count(loaded, Review, Review.reply.is_not(None)) >= 20
    for model, key, target in (
        (Listing, Listing.listing_id, Review.listing_id),
        (User, User.user_id, Review.reviewee_id),
    ):
        rated = loaded.execute(sa.select(key, model.rating_count, model.rating_sum).where(model.rating_count > 0))
        sums = sa.select(target, sa.func.count(), sa.func.sum(Review.rating)).group_by(target)
        assert set(rated.all()) == set(loaded.execute(sums.where(target.is_not(None))).all())
    keepers = loaded.execute(sa.select(Bookmark.user_id, sa.func.count()).group_by(Bookmark.user_id)).all()
    assert len(keepers) == 20


@pytest.mark.parametrize(
    ("key", "date"),
    [
        (User.user_id, User.date_joined),
        (Listing.listing_id, Listing.date_created),
        (Message.message_id, Message.timestamp_sent),
        (Review.review_id, Review.date_posted),
        (Bookmark.bookmark_id, Bookmark.date_bookmarked),
    ],
    ids=lambda column: column.key,
)
def test_the_dates_are_spread_and_follow_the_ids(loaded: Session, key: Any, date: Any) -> None:
    dates = list(loaded.scalars(sa.select(date).order_by(key)))
    assert dates == sorted(dates)
    assert len({moment.replace(microsecond=0) for moment in dates}) > 0.95 * len(dates)
    assert dates[-1] < datetime.now(UTC)
    assert dates[-1] - dates[0] > timedelta(days=30)


def test_nothing_happens_before_it_can(loaded: Session) -> None:
    owner, listing, other = sa.orm.aliased(User), sa.orm.aliased(Listing), sa.orm.aliased(User)
    early = [
        sa.select(Listing.listing_id)
        .join(owner, owner.user_id == Listing.user_id)
        .where(sa.or_(Listing.date_created < owner.date_joined, Listing.date_updated < Listing.date_created)),
        sa.select(Message.message_id)
        .join(owner, owner.user_id == Message.sender_id)
        .join(other, other.user_id == Message.receiver_id)
        .outerjoin(listing, listing.listing_id == Message.listing_id)
        .where(
            Message.timestamp_sent
            < sa.func.greatest(
                owner.date_joined, other.date_joined, sa.func.coalesce(listing.date_created, owner.date_joined)
            )
        ),
        sa.select(Review.review_id)
        .join(owner, owner.user_id == Review.reviewer_id)
        .outerjoin(listing, listing.listing_id == Review.listing_id)
        .outerjoin(other, other.user_id == Review.reviewee_id)
        .where(
            sa.or_(
                Review.date_posted < sa.func.greatest(owner.date_joined, listing.date_created, other.date_joined),
                Review.date_replied < Review.date_posted,
            )
        ),
        sa.select(Bookmark.bookmark_id)
        .join(listing, listing.listing_id == Bookmark.listing_id)
        .join(owner, owner.user_id == Bookmark.user_id)
        .where(Bookmark.date_bookmarked < sa.func.greatest(listing.date_created, owner.date_joined)),
        sa.select(Conversation.conversation_id).where(
            sa.or_(
                Conversation.timestamp_created
                != sa.select(sa.func.min(Message.timestamp_sent))
                .where(Message.conversation_id == Conversation.conversation_id)
                .scalar_subquery(),
                Conversation.timestamp_updated
                != sa.select(sa.func.max(Message.timestamp_sent))
                .where(Message.conversation_id == Conversation.conversation_id)
                .scalar_subquery(),
            )
        ),
    ]
    for statement in early:
        assert loaded.execute(statement).all() == []


def test_everything_is_in_the_log_and_nobody_gets_mail(loaded: Session) -> None:
    told = dict(loaded.execute(sa.select(Event.type, sa.func.count()).group_by(Event.type)).all())
    assert told["user.registered"] == told["user.picture_changed"] == 20
    assert told["listing.created"] == len(LISTINGS)
    assert told["message.sent"] == count(loaded, Message)
    assert told["review.posted"] == count(loaded, Review)
    assert told["listing.photos_changed"] == count(loaded, ListingPhoto)
    handlers = loaded.execute(sa.text("SELECT DISTINCT args ->> 'handler' FROM procrastinate_jobs")).scalars().all()
    assert "notify_of_message" in handlers
    assert not [handler for handler in handlers if handler.startswith("mail")]


def test_moderators_have_something_to_do(loaded: Session) -> None:
    verifications = Counter(loaded.execute(sa.select(Verification.status)).scalars())
    assert verifications == {"approved": 2, "rejected": 1, "pending": 1}
    reports = Counter(loaded.execute(sa.select(Report.state)).scalars())
    assert reports == {"resolved": 1, "dismissed": 1, "open": 2}
    late = sa.select(Verification.verification_id).where(Verification.date_decided < Verification.date_submitted)
    assert loaded.execute(late).all() == []


def test_the_printed_log_ins_work(loaded: Session) -> None:
    assert {role for role, _, _ in demo.LOGINS} == {"admin", "moderator", "staff", "customer"}
    for role, email, password in demo.LOGINS:
        user = loaded.scalars(sa.select(User).where(User.email == email)).one()
        assert role in user.roles
        assert user.email_confirmed_at is not None
        assert verify_password(password, user.password_hash or "")


def test_it_loads_once(loaded: Session, market: Databases, settings: Settings) -> None:
    before = count(loaded, Event)
    demo.load_once(market, settings)
    assert count(loaded, Event) == before
    assert count(loaded, User) == 20


def test_two_at_once_load_it_once(loaded: Session) -> None:
    assert count(loaded, User) == 20
    assert count(loaded, Listing) == len(LISTINGS)
    assert count(loaded, Message) == sum(len(talk.messages) for talk in fixtures.talks())


def test_what_was_cut_off_goes_on(load: Loaded, loaded: Session) -> None:
    assert load.cut_off == (20, 0, 0)
    # The sweep clears away what the first attempt had written.
    assert count(loaded, File, File.state == "pending") > 0


def test_without_a_storage_it_says_so(
    committed_databases: Databases, settings: Settings, tmp_path: Path, db: Session
) -> None:
    (tmp_path / "files").write_text("in the way")
    with pytest.raises(Unavailable, match=r"The demo data is not there: .*db seed"):
        demo.load_once(committed_databases, replace(settings, data_dir=tmp_path))
    with committed_databases.session() as session:
        assert count(session, User) == 0


def test_never_in_production(databases: Databases, settings: Settings, db: Session) -> None:
    with pytest.raises(Forbidden):
        demo.load_once(databases, replace(settings, environment="production"))
    assert count(db, User) == 0


@pytest.mark.parametrize("row", LISTINGS, ids=lambda row: row["title"])
def test_the_api_would_take_it(row: dict[str, Any]) -> None:
    body = {name: row[name] for name in ("title", "description", "category", "price")}
    amenities = row["amenities"].split("|") if row["amenities"] else []
    assert CreateListing().deserialize({**body, "amenities": amenities})
    assert len(row["description"]) > 40
    assert row["description"].endswith((".", "!"))
    assert placeholder_images._glyph(row["title"], row["category"]), "nobody has drawn it"


def test_the_api_would_take_what_is_said_of_it() -> None:
    for row in fixtures.rows("reviews"):
        assert PostReview().deserialize({"rating": int(row["rating"]), "comment": row["comment"], "listing_id": 1})
        assert bool(row["reply"]) == bool(row["reply_hours"])
    pairs = [frozenset((talk.buyer, OWNERS[talk.title])) for talk in fixtures.talks()]
    assert len(set(pairs)) == len(pairs), "two people have one conversation"
    for talk in fixtures.talks():
        assert {name for name, _ in talk.messages} == {talk.buyer, OWNERS[talk.title]}
        assert talk.messages[0][0] == talk.buyer
        for _, words in talk.messages:
            assert SendMessage().deserialize({"receiver_id": 1, "content": words})


def test_no_two_are_alike() -> None:
    assert len({row["title"] for row in LISTINGS}) == len(LISTINGS)
    assert len({row["description"] for row in LISTINGS}) == len(LISTINGS)


def test_chance_falls_the_same_way_every_time() -> None:
    assert (
        placeholder_images.photo("Kite", "toys", 1).tobytes() == placeholder_images.photo("Kite", "toys", 1).tobytes()
    )
    assert (
        placeholder_images.photo("Kite", "toys", 0).tobytes() != placeholder_images.photo("Kites", "toys", 0).tobytes()
    )
    assert placeholder_images.portrait("anna").size == (placeholder_images.PORTRAIT, placeholder_images.PORTRAIT)
    now = datetime.now(UTC)
    for talk in fixtures.talks():
        assert list(messages.moments(talk, now)) == list(messages.moments(talk, now))
