"""Listings: what is offered, where, in which state; with the generated columns that search stands on."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import UserDefinedType

from marketplace_api.database.base import (
    Base,
    BigId,
    BigInt,
    Created,
    Money,
    RatingHistogram,
    TextArray,
    Timestamp,
    Version,
)

STATUSES = ("draft", "active", "inactive", "sold", "pending_verification", "rejected", "suspended")


class Cube(UserDefinedType[Any]):
    """The ``cube`` type of PostgreSQL's extension of that name."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "cube"


# What anyone may open by its address, and the part of it that search may show.
IS_PUBLIC = "status IN ('active', 'sold') AND deleted_at IS NULL AND NOT owner_hidden"
IS_SEARCHABLE = "status = 'active' AND deleted_at IS NULL AND NOT owner_hidden"

# A point on a sphere of the Earth's mean radius (6371.0088 km, IUGG), so that distances between positions are
# chords in km. Built from the rounded coordinates: no query can find out more than a stranger may see.
POSITION = (
    "CASE WHEN latitude IS NULL OR longitude IS NULL THEN NULL ELSE cube(ARRAY["
    "6371.0088 * cos(radians(round(latitude, 2)::float8)) * cos(radians(round(longitude, 2)::float8)), "
    "6371.0088 * cos(radians(round(latitude, 2)::float8)) * sin(radians(round(longitude, 2)::float8)), "
    "6371.0088 * sin(radians(round(latitude, 2)::float8))]) END"
)

# The same place as one number: strips of a tenth of a degree from south to north, within a strip from west to east
# (see ``domain.search.geo.strips``), so that a box on the map is a few ranges of it.
_LATITUDE = "(round(latitude, 2) * 100)::integer + 9000"
_LONGITUDE = "(round(longitude, 2) * 100)::integer + 18000"
SPOT = f"(({_LATITUDE}) / 10 * 36001 + {_LONGITUDE}) * 10 + ({_LATITUDE}) % 10"

# Weights: title > category > amenities > description. ``marketplace_words`` joins an array immutably.
# ``marketplace_marks`` adds what else a listing is found by (category, amenities, words of the place, price band,
# cell on the map, block of ids) as lexemes that no text can contain, because they begin with "#": so one index
# answers any combination of filters, and intersects them before it visits a single row.
DOCUMENT = (
    "setweight(to_tsvector('marketplace', title), 'A') || "
    "setweight(to_tsvector('marketplace', replace(category, '-', ' ')), 'B') || "
    "setweight(to_tsvector('marketplace', marketplace_words(amenities)), 'C') || "
    "setweight(to_tsvector('marketplace', description), 'D') || "
    "marketplace_marks(listing_id, category, amenities, marketplace_words(ARRAY[city, state, zip, country]), "
    "price, is_verified_listing, latitude, longitude)"
)

# Thousandths of a star, so that it can be compared exactly; 0 without any rating.
RATING = "CASE WHEN rating_count = 0 THEN 0 ELSE (rating_sum::bigint * 1000 / rating_count)::integer END"
# What waits for a moderator: submitted listings, and verified ones that changed.
IS_WAITING = (
    "deleted_at IS NULL AND (status = 'pending_verification' OR status = 'active' AND review_requested_at IS NOT NULL)"
)
WAITING_SINCE = "COALESCE(review_requested_at, date_updated)"
_SEARCHABLE = sa.text("is_searchable")
# The orders that search walks.
_ORDERS: dict[str, list[Any]] = {
    "date_created": ["date_created"],
    "date_updated": ["date_updated"],
    "price": ["price"],
    "title": [sa.text("lower(title)")],
    "rating": ["rating"],
    "category_price": ["category", "price"],
}


class Listing(Base):
    """Something offered. ``status`` changes only through the workflow of ``domain/catalog/listings``."""

    __tablename__ = "listings"

    listing_id: Mapped[BigId]
    user_id: Mapped[BigInt] = mapped_column(sa.ForeignKey("users.user_id", ondelete="CASCADE"))
    title: Mapped[str] = mapped_column(sa.String(255))
    description: Mapped[str] = mapped_column(sa.Text, server_default="")
    category: Mapped[str] = mapped_column(sa.ForeignKey("categories.slug"))
    price: Mapped[Money]
    currency: Mapped[str] = mapped_column(sa.CHAR(3), server_default="USD")
    address: Mapped[str | None] = mapped_column(sa.String(255))
    city: Mapped[str | None] = mapped_column(sa.String(100))
    state: Mapped[str | None] = mapped_column(sa.String(100))
    zip: Mapped[str | None] = mapped_column(sa.String(20))
    country: Mapped[str | None] = mapped_column(sa.String(100))
    latitude: Mapped[Decimal | None] = mapped_column(sa.Numeric(9, 6))
    longitude: Mapped[Decimal | None] = mapped_column(sa.Numeric(9, 6))
    photos_urls: Mapped[TextArray]
    photo_count: Mapped[int] = mapped_column(sa.SmallInteger, server_default=sa.text("0"))
    has_video: Mapped[bool] = mapped_column(server_default=sa.false())
    amenities: Mapped[TextArray]
    status: Mapped[str] = mapped_column(sa.String(50), server_default="active")
    suspended_from: Mapped[str | None] = mapped_column(sa.String(50))
    status_reason: Mapped[str | None] = mapped_column(sa.Text)
    is_verified_listing: Mapped[bool] = mapped_column(server_default=sa.false())
    review_requested_at: Mapped[Timestamp | None]
    # What moderators verified, where the price moved since: many small steps shall not add up unseen.
    verified_price: Mapped[Money | None]
    owner_hidden: Mapped[bool] = mapped_column(server_default=sa.false())
    rating_count: Mapped[int] = mapped_column(server_default=sa.text("0"))
    rating_sum: Mapped[int] = mapped_column(server_default=sa.text("0"))
    rating_histogram: Mapped[RatingHistogram]
    import_key: Mapped[bytes | None] = mapped_column(postgresql.BYTEA)
    date_created: Mapped[Created]
    date_updated: Mapped[Created]
    deleted_at: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True))
    version: Mapped[Version]

    is_public: Mapped[bool] = mapped_column(sa.Boolean, sa.Computed(IS_PUBLIC, persisted=True))
    is_searchable: Mapped[bool] = mapped_column(sa.Boolean, sa.Computed(IS_SEARCHABLE, persisted=True))
    rating: Mapped[int] = mapped_column(sa.Integer, sa.Computed(RATING, persisted=True))
    position: Mapped[Any | None] = mapped_column(Cube(), sa.Computed(POSITION, persisted=True), deferred=True)
    spot: Mapped[int | None] = mapped_column(sa.Integer, sa.Computed(SPOT, persisted=True), deferred=True)
    # A hash of each amenity, however it is spelled: short and of a bounded number, so that an index can hold them.
    amenity_codes: Mapped[list[int] | None] = mapped_column(
        postgresql.ARRAY(sa.BigInteger),
        sa.Computed("marketplace_amenity_codes(amenities)", persisted=True),
        deferred=True,
    )
    document: Mapped[Any] = mapped_column(postgresql.TSVECTOR, sa.Computed(DOCUMENT, persisted=True), deferred=True)

    __table_args__ = (
        sa.CheckConstraint(f"status IN ({', '.join(repr(s) for s in STATUSES)})", "status"),
        sa.CheckConstraint("(status = 'suspended') = (suspended_from IS NOT NULL)", "suspended_from"),
        sa.CheckConstraint("price >= 0", "price"),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", "currency"),
        sa.CheckConstraint("latitude BETWEEN -90 AND 90 AND longitude BETWEEN -180 AND 180", "coordinates"),
        sa.CheckConstraint("(latitude IS NULL) = (longitude IS NULL)", "coordinates_both"),
        sa.CheckConstraint("length(title) > 0", "title"),
        sa.CheckConstraint("photo_count BETWEEN 0 AND 24", "photo_count"),
        sa.CheckConstraint("rating_count >= 0 AND rating_sum BETWEEN rating_count AND 5 * rating_count", "rating"),
        sa.CheckConstraint("cardinality(rating_histogram) = 5 AND 0 <= ALL (rating_histogram)", "rating_histogram"),
        sa.UniqueConstraint("user_id", "import_key"),
        sa.Index("ix_listings_user_id", "user_id", "date_created", "listing_id"),
        sa.Index("ix_listings_waiting", sa.text(WAITING_SINCE), "listing_id", postgresql_where=sa.text(IS_WAITING)),
        # Listings of all states are counted, by whatever is asked, without visiting the rows.
        sa.Index(
            "ix_listings_figures",
            "date_created",
            postgresql_include=["status", "category", "country", "deleted_at", "is_verified_listing"],
        ),
        # Only what a stranger may see is in these.
        *(
            sa.Index(f"ix_listings_search_{name}", *columns, "listing_id", postgresql_where=_SEARCHABLE)
            for name, columns in _ORDERS.items()
        ),
        sa.Index(
            "ix_listings_search_category_date_created",
            "category",
            "date_created",
            "listing_id",
            postgresql_include=["price"],
            postgresql_where=_SEARCHABLE,
        ),
        # A box is counted, with all its facets, without visiting the rows.
        sa.Index(
            "ix_listings_search_spot",
            "spot",
            postgresql_include=[
                "listing_id",
                "date_created",
                "price",
                "category",
                "city",
                "is_verified_listing",
                "amenity_codes",
            ],
            postgresql_where=_SEARCHABLE,
        ),
        # With these beside the position a circle is counted without visiting the rows.
        sa.Index(
            "ix_listings_search_position",
            "position",
            postgresql_using="gist",
            postgresql_where=_SEARCHABLE,
            postgresql_include=["listing_id", "date_created", "price", "category"],
        ),
        # Writers bring their entries in by the list, at the end of each statement: see ``count_listing_terms``.
        sa.Index(
            "ix_listings_search_document",
            "document",
            postgresql_using="gin",
            postgresql_where=_SEARCHABLE,
            postgresql_with={"fastupdate": "on"},
        ),
    )
