"""What was kept before a rule can be read, sent back as it is, and the rest of it edited."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.models.catalog.listings import Listing
from marketplace_api.models.community.reviews import Review
from marketplace_api.models.identity.accounts import User
from tests.factories.accounts import People
from tests.factories.reviews import make_review
from tests.support.client import Client

BAD = "Old\x1b[2J\x07\x9b text"
PHOTO = "http://10.0.0.1/a'b.jpg"


def test_a_listing(db: Session, owner: Client, listing: Any, client: Client) -> None:
    old = {"title": BAD, "description": BAD, "photos_urls": [PHOTO], "amenities": [BAD], "city": BAD}
    db.execute(sa.update(Listing).where(Listing.listing_id == listing.listing_id).values(old))
    db.commit()
    path = f"/api/listings/{listing.listing_id}"
    read = client.get(path).json
    assert (read["title"], read["photos_urls"], read["location"]["city"]) == (BAD, [PHOTO], BAD)

    mine = owner.get(path).json
    kept = owner.put(path, {**mine, "price": 12})
    assert kept.status_int == 200, kept.text
    again = owner.get(path).json
    assert again["price"] == 12
    assert {name: again[name] for name in ("title", "description", "photos_urls", "amenities", "location")} == {
        name: mine[name] for name in ("title", "description", "photos_urls", "amenities", "location")
    }
    assert owner.patch(path, {"price": 13}).status_int == 200
    assert owner.patch(path, {"location": {"city": "Berlin"}}).json["location"]["city"] == "Berlin"
    refused = owner.patch(path, {"title": f"{BAD}!", "photos_urls": [PHOTO, PHOTO]})
    assert {error["name"]: error["code"] for error in refused.json["errors"]} == {
        "title": "invalid_characters",
        "photos_urls.0": "wrong_format",
        "photos_urls.1": "wrong_format",
    }


def test_an_account(db: Session, owner: Client) -> None:
    old = {"bio": BAD, "profile_picture_url": PHOTO, "contact_information": {"phone": BAD}}
    db.execute(sa.update(User).where(User.user_id == owner.user.user_id).values(old))
    db.commit()
    me = owner.get("/api/users/me").json
    assert (me["bio"], me["profile_picture_url"], me["contact_information"]) == (BAD, PHOTO, {"phone": BAD})
    assert owner.put("/api/users/me", me).status_int == 200
    changed = owner.put("/api/users/me", {**me, "contact_information": {"phone": BAD, "address": "Street 1\r\nTown"}})
    assert changed.json["contact_information"] == {"phone": BAD, "address": "Street 1\nTown"}
    assert owner.put("/api/users/me", {**me, "bio": "\x1b"}).status_int == 400


def test_a_review(db: Session, people: People, listing: Any) -> None:
    review = make_review(db, people.customer().user, listing=listing)
    db.execute(sa.update(Review).where(Review.review_id == review.review_id).values(comment=BAD))
    db.commit()
    path = f"/api/reviews/{review.review_id}"
    changed = people.moderator().patch(path, {"comment": BAD, "rating": 2, "reason": "Two stars were meant."})
    assert (changed.status_int, changed.json["comment"], changed.json["rating"]) == (200, BAD, 2)
