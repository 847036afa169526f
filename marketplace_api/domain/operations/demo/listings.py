"""What is offered: the listings with their photos, and the steps that brought them to their status."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial

import sqlalchemy as sa

from marketplace_api.domain.catalog import photos
from marketplace_api.domain.catalog.listings import editing, queries, workflow
from marketplace_api.domain.operations.demo import fixtures
from marketplace_api.domain.operations.demo.timeline import Timeline
from marketplace_api.models.catalog.listings import Listing

# How a listing comes to its status; the moderator takes the steps of the second kind.
STEPS: Mapping[str, tuple[str, ...]] = {
    "sold": ("mark-sold",),
    "pending_verification": ("submit-for-verification",),
    "verified": ("submit-for-verification", "verify"),
    "rejected": ("submit-for-verification", "reject"),
    "suspended": ("suspend",),
}
MODERATORS_STEPS = frozenset({"verify", "reject", "suspend"})

LONGEST_WAY = timedelta(days=9)
"""A listing takes its steps half-way through its life, or after so long."""

# Of three listings two have a photo; what was verified has more.
PHOTOS = (0, 1, 1)
PHOTOS_IF_VERIFIED = (1, 2, 2, 3)


def plan(market: Timeline) -> None:
    """Every listing is made with its photos, and later takes its steps."""
    people = fixtures.people()
    places = {row["place"]: row for row in fixtures.rows("places")}
    for row in fixtures.listings():
        place = places[row["place"] or people[row["owner"]]["place"]]
        views = photos_of(row)
        market.studio.order_photos(row["title"], row["category"], views)
        created = market.ago(row["days_ago"])
        market.plan(created, partial(_offer, market, row, place, views))
        if row["status"] in STEPS:
            market.plan(stepped(row, market.now), partial(_take_steps, market, row))


def photos_of(row: Mapping[str, str]) -> int:
    """How many photos a listing has: what moderators verified has some, what is not finished or refused has none."""
    if row["status"] in ("rejected", "suspended", "draft"):
        return 0
    numbers = PHOTOS_IF_VERIFIED if row["status"] == "verified" else PHOTOS
    return fixtures.seeded("photos", row["title"]).choice(numbers)


def stepped(row: Mapping[str, str], now: datetime) -> datetime:
    """When a listing took its steps."""
    age = timedelta(days=float(row["days_ago"]))
    return now - age + min(age / 2, LONGEST_WAY)


def _offer(market: Timeline, row: Mapping[str, str], place: Mapping[str, str], views: int, moment: datetime) -> None:
    owner, status = market.people[row["owner"]], row["status"]
    fields = {
        **{name: row[name] for name in ("title", "description", "category")},
        "price": Decimal(row["price"]),
        "currency": place["currency"],
        "location": {
            **{name: place[name] for name in ("address", "city", "state", "zip", "country")},
            "latitude": Decimal(place["latitude"]),
            "longitude": Decimal(place["longitude"]),
        },
        "amenities": [amenity for amenity in row["amenities"].split("|") if amenity],
        "photos_urls": [],
        "status": status if status in workflow.LISTING_WORKFLOW.initial else "active",
    }
    listing = editing.create(market.session, owner, fields=fields)
    for number in range(views):
        photos.put(
            market.session,
            market.databases,
            market.storage,
            owner,
            queries.find(market.session, listing.listing_id),
            variants=market.studio.photo(row["title"], number),
            alt_text=f"{row['title']}, a drawing ({number + 1})",
        )
    market.listings[row["title"]] = listing.listing_id
    _date(market, listing.listing_id, date_created=moment, date_updated=moment)


def _take_steps(market: Timeline, row: Mapping[str, str], moment: datetime) -> None:
    listing_id = market.listings[row["title"]]
    for step in STEPS[row["status"]]:
        actor = market.people["moderator" if step in MODERATORS_STEPS else row["owner"]]
        reason = row["reason"] if step in ("reject", "suspend") else None
        workflow.take(market.session, actor, listing_id, step, reason=reason)
    asked = sa.case((Listing.review_requested_at.is_not(None), moment))
    _date(market, listing_id, date_updated=moment, review_requested_at=asked)


def _date(market: Timeline, listing_id: int, **moments: object) -> None:
    market.date(Listing, Listing.listing_id == listing_id, **moments)
