"""What people think of listings and of each other, what the others answer, and what they keep for later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

from marketplace_api.domain.catalog import bookmarks
from marketplace_api.domain.community.reviews import writing
from marketplace_api.domain.operations.demo import fixtures
from marketplace_api.domain.operations.demo.timeline import Timeline
from marketplace_api.models.catalog.bookmarks import Bookmark
from marketplace_api.models.community.reviews import Review

KEPT = (3, 9)
"""How many listings a person keeps, at least and at most."""

# What stays open to all, so that others can come upon it at any time.
OPEN_STATUSES = frozenset({"", "sold", "verified"})
KEPT_WITHIN = 0.85
"""The part of a listing's life in which somebody keeps it."""


def plan(market: Timeline) -> None:
    """Reviews with their replies, and bookmarks."""
    listings = fixtures.listings()
    owners = {row["title"]: row["owner"] for row in listings}
    for row in fixtures.rows("reviews"):
        posted: dict[str, int] = {}
        moment = market.ago(row["days_ago"])
        market.plan(moment, partial(_review, market, row, posted))
        if row["reply"]:
            replier = row["about"].removeprefix("@") if row["about"].startswith("@") else owners[row["about"]]
            later = moment + min(timedelta(hours=float(row["reply_hours"])), (market.now - moment) * 0.9)
            market.plan(later, partial(_reply, market, replier, row["reply"], posted))
    for name, person in fixtures.people().items():
        others = [row for row in listings if row["owner"] != name and row["status"] in OPEN_STATUSES]
        _plan_bookmarks(market, name, market.ago(person["days_ago"]), others)


def _plan_bookmarks(market: Timeline, name: str, joined: datetime, others: Sequence[Mapping[str, str]]) -> None:
    dice = fixtures.seeded("bookmarks", name)
    for row in dice.sample(others, dice.randint(*KEPT)):
        since = max(market.ago(row["days_ago"]), joined)
        moment = since + (market.now - since) * dice.uniform(0.02, KEPT_WITHIN)
        market.plan(moment, partial(_keep, market, name, row["title"]))


def _review(market: Timeline, row: Mapping[str, str], posted: dict[str, int], moment: datetime) -> None:
    about, rating = row["about"], int(row["rating"])
    actor = market.people[row["reviewer"]]
    if about.startswith("@"):
        reviewee_id = market.people[about[1:]].user_id
        review = writing.post(market.session, actor, rating=rating, comment=row["comment"], reviewee_id=reviewee_id)
    else:
        listing_id = market.listings[about]
        review = writing.post(market.session, actor, rating=rating, comment=row["comment"], listing_id=listing_id)
    posted["id"] = review.review_id
    market.date(Review, Review.review_id == review.review_id, date_posted=moment, date_updated=moment)


def _reply(market: Timeline, name: str, words: str, posted: dict[str, int], moment: datetime) -> None:
    writing.reply(market.session, market.people[name], posted["id"], words)
    market.date(Review, Review.review_id == posted["id"], date_replied=moment, date_updated=moment)


def _keep(market: Timeline, name: str, title: str, moment: datetime) -> None:
    kept, _ = bookmarks.add(market.session, market.people[name], market.listings[title])
    market.date(Bookmark, Bookmark.bookmark_id == kept.bookmark_id, date_bookmarked=moment)
