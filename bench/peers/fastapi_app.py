"""FastAPI with SQLAlchemy 2 async on asyncpg: ``typed`` answers with Pydantic models, ``plain`` by orjson."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import orjson
import sqlalchemy as sa
from fastapi import FastAPI, HTTPException, Query, Response
from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import create_async_engine

engine = create_async_engine(
    os.environ["BENCH_DATABASE_URL"].replace("postgresql://", "postgresql+asyncpg://", 1),
    # Enough for every request of the measurement: connections beyond the pool would be made and thrown away.
    pool_size=20,
    max_overflow=0,
    isolation_level="AUTOCOMMIT",
    pool_reset_on_return=None,
)

SHOWN = (
    "listing_id",
    "user_id",
    "title",
    "description",
    "category",
    "price",
    "currency",
    "city",
    "state",
    "zip",
    "country",
    "latitude",
    "longitude",
    "photos_urls",
    "amenities",
    "status",
    "is_verified_listing",
    "rating_count",
    "rating_sum",
    "date_created",
    "date_updated",
)
listings = sa.table(
    "listings", *map(sa.column, SHOWN), sa.column("is_public", sa.Boolean), sa.column("is_searchable", sa.Boolean)
)
columns = [listings.c[name] for name in SHOWN]
find = sa.select(*columns).where(
    listings.c.listing_id == sa.bindparam("listing_id", type_=sa.BigInteger), listings.c.is_public
)
newest = (
    sa.select(*columns)
    .where(listings.c.is_searchable)
    .order_by(listings.c.date_created.desc(), listings.c.listing_id.desc())
    .limit(sa.bindparam("limit", type_=sa.Integer))
    .offset(sa.bindparam("offset", type_=sa.Integer))
)
total = sa.text(
    "SELECT sum(count)::bigint FROM (SELECT count FROM search_terms WHERE kind = 0 AND term = '#all' UNION ALL "
    "SELECT delta FROM search_term_deltas WHERE kind = 0 AND term = '#all') AS counted".replace("::", r"\:\:")
)


def _as_text(sql: str) -> sa.TextClause:
    return sa.text(re.sub(r"%\((\w+)\)s", r":\1", sql.replace("::", r"\:\:")))


_queries = orjson.loads(Path(os.environ["BENCH_QUERIES"]).read_bytes())
_statements = {sql: _as_text(sql) for query in _queries.values() for sql, _ in query["statements"]}


class Link(BaseModel):
    href: str


class Location(BaseModel):
    city: str | None
    state: str | None
    zip: str | None
    country: str | None
    latitude: float | None
    longitude: float | None
    is_approximate: bool = True


class Links(BaseModel):
    self: Link
    owner: Link = Field(serialization_alias="mkt:owner")


class ItemLinks(Links):
    collection: Link = Link(href="/api/listings")
    photos: Link = Field(serialization_alias="mkt:photos")
    reviews: Link = Field(serialization_alias="mkt:reviews")


class Urls(BaseModel):
    thumb: str
    card: str
    full: str


class Photo(BaseModel):
    photo_id: int
    alt_text: str | None
    width: int
    height: int
    urls: Urls


class Listing(BaseModel):
    listing_id: int
    user_id: int
    title: str
    description: str
    category: str
    price: float
    currency: str
    location: Location
    photos_urls: list[str]
    status: str
    date_created: datetime
    date_updated: datetime
    is_verified_listing: bool
    amenities: list[str]
    rating_average: float | None
    rating_count: int
    links: Links = Field(serialization_alias="_links")


class ListingItem(Listing):
    # No listing that is measured has photos, and nobody reads them of one that has none.
    photos: list[Photo]
    links: ItemLinks = Field(serialization_alias="_links")


class ListingPage(BaseModel):
    total_pages: int = Field(serialization_alias="totalPages")
    current_page: int = Field(serialization_alias="currentPage")
    total_items: int = Field(serialization_alias="totalItems")
    total_is_capped: bool = Field(serialization_alias="totalIsCapped")
    listings: list[Listing]
    links: dict[str, Link] = Field(serialization_alias="_links")


Page = Annotated[int, Query(ge=1)]
Limit = Annotated[int, Query(ge=1, le=100)]
Words = Annotated[str | None, Query(max_length=200)]


async def _item(listing_id: int) -> Any:
    async with engine.connect() as connection:
        row = (await connection.execute(find, {"listing_id": listing_id})).first()
    if row is None:
        raise HTTPException(404)
    return row


async def _rows(search: str | None, page: int, limit: int) -> tuple[Any, int, bool]:
    """The rows of a page, the total, which is counted up to 10,000, and whether there are more."""
    async with engine.connect() as connection:
        if search is None:
            number = (await connection.execute(total)).scalar_one()
            rows = (await connection.execute(newest, {"limit": limit, "offset": (page - 1) * limit})).all()
            return rows, min(number, 10_000), number > 10_000
        query = _queries[search]
        for sql, parameters in query["statements"]:
            result = await connection.execute(_statements[sql], parameters)
        return result.all()[:limit], query["total"], query["is_capped"]


def _hrefs(search: str | None, page: int, limit: int, number: int) -> dict[str, str]:
    start = f"/api/listings?search={search}" if search else "/api/listings"
    join = "&" if search else "?"
    pages = -(-number // limit)
    found = {"self": start, "first": start}
    if page < pages:
        found["next"] = f"{start}{join}page={page + 1}"
    if number:
        found["last"] = f"{start}{join}page={pages}"
    return found


def _average(row: Any) -> float | None:
    return round(row.rating_sum / row.rating_count, 2) if row.rating_count else None


def _fields(row: Any) -> dict[str, Any]:
    return {
        "listing_id": row.listing_id,
        "user_id": row.user_id,
        "title": row.title,
        "description": row.description,
        "category": row.category,
        "price": row.price,
        "currency": row.currency,
        "location": Location(
            city=row.city,
            state=row.state,
            zip=row.zip,
            country=row.country,
            latitude=None if row.latitude is None else round(row.latitude, 2),
            longitude=None if row.longitude is None else round(row.longitude, 2),
        ),
        "photos_urls": row.photos_urls,
        "status": row.status,
        "date_created": row.date_created,
        "date_updated": row.date_updated,
        "is_verified_listing": row.is_verified_listing,
        "amenities": row.amenities,
        "rating_average": _average(row),
        "rating_count": row.rating_count,
    }


def _hrefs_of(row: Any) -> dict[str, Link]:
    return {"self": Link(href=f"/api/listings/{row.listing_id}"), "owner": Link(href=f"/api/users/{row.user_id}")}


def _hrefs_of_item(row: Any) -> dict[str, Link]:
    path = f"/api/listings/{row.listing_id}"
    return {**_hrefs_of(row), "photos": Link(href=f"{path}/photos"), "reviews": Link(href=f"{path}/reviews")}


def _plain_listing(row: Any) -> dict[str, Any]:
    return {
        "listing_id": row.listing_id,
        "user_id": row.user_id,
        "title": row.title,
        "description": row.description,
        "category": row.category,
        "price": float(row.price),
        "currency": row.currency,
        "location": {
            "city": row.city,
            "state": row.state,
            "zip": row.zip,
            "country": row.country,
            "latitude": None if row.latitude is None else float(round(row.latitude, 2)),
            "longitude": None if row.longitude is None else float(round(row.longitude, 2)),
            "is_approximate": True,
        },
        "photos_urls": row.photos_urls,
        "status": row.status,
        "date_created": row.date_created,
        "date_updated": row.date_updated,
        "is_verified_listing": row.is_verified_listing,
        "amenities": row.amenities,
        "rating_average": _average(row),
        "rating_count": row.rating_count,
        "_links": {
            "self": {"href": f"/api/listings/{row.listing_id}"},
            "mkt:owner": {"href": f"/api/users/{row.user_id}"},
        },
    }


@asynccontextmanager
async def _lifespan(_app: FastAPI) -> AsyncIterator[None]:
    yield
    await engine.dispose()


typed = FastAPI(lifespan=_lifespan)
plain = FastAPI(lifespan=_lifespan)


@typed.get("/api/listings/{listing_id}")
async def read_typed(listing_id: int) -> ListingItem:
    row = await _item(listing_id)
    return ListingItem(**_fields(row), photos=[], links=ItemLinks(**_hrefs_of_item(row)))


@typed.get("/api/listings")
async def search_typed(search: Words = None, page: Page = 1, limit: Limit = 10) -> ListingPage:
    rows, number, is_capped = await _rows(search, page, limit)
    return ListingPage(
        total_pages=-(-number // limit),
        current_page=page,
        total_items=number,
        total_is_capped=is_capped,
        listings=[Listing(**_fields(row), links=Links(**_hrefs_of(row))) for row in rows if row.listing_id is not None],
        links={rel: Link(href=href) for rel, href in _hrefs(search, page, limit, number).items()},
    )


@plain.get("/api/listings/{listing_id}")
async def read_plain(listing_id: int) -> Response:
    shown = _plain_listing(await _item(listing_id))
    shown["photos"] = []
    path = f"/api/listings/{listing_id}"
    shown["_links"] |= {
        "collection": {"href": "/api/listings"},
        "mkt:photos": {"href": f"{path}/photos"},
        "mkt:reviews": {"href": f"{path}/reviews"},
    }
    return Response(orjson.dumps(shown), media_type="application/json")


@plain.get("/api/listings")
async def search_plain(search: Words = None, page: Page = 1, limit: Limit = 10) -> Response:
    rows, number, is_capped = await _rows(search, page, limit)
    shown = {
        "totalPages": -(-number // limit),
        "currentPage": page,
        "totalItems": number,
        "totalIsCapped": is_capped,
        "listings": [_plain_listing(row) for row in rows if row.listing_id is not None],
        "_links": {rel: {"href": href} for rel, href in _hrefs(search, page, limit, number).items()},
    }
    return Response(orjson.dumps(shown), media_type="application/json")
