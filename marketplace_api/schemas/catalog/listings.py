"""What may come in about listings, and the names of what goes out."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import colander
from colander import SchemaNode, drop

from marketplace_api.domain.catalog.listings.workflow import LISTING_WORKFLOW
from marketplace_api.domain.catalog.search import FACETS
from marketplace_api.domain.kernel import money
from marketplace_api.schemas.base import Body, ObjectType, PageQuery, Query, names
from marketplace_api.schemas.types import (
    Boolean,
    FromQuery,
    Integer,
    InvalidField,
    ListOf,
    Nullable,
    Number,
    OneOf,
    StrictType,
    Text,
)
from marketplace_api.schemas.web_address import WebAddress

LISTING_FIELDS = (
    "listing_id",
    "user_id",
    "title",
    "description",
    "category",
    "price",
    "currency",
    "location",
    "photos_urls",
    "status",
    "status_reason",
    "date_created",
    "date_updated",
    "is_verified_listing",
    "amenities",
    "rating_average",
    "rating_count",
    "distance_km",
    "bookmarked",
    "bookmark_count",
    "photos",
)
LISTING_EMBEDS = ("owner", "photos")
ONE_LISTING_EMBEDS = (*LISTING_EMBEDS, "reviews")
READ_ONLY = frozenset((*LISTING_FIELDS, *ONE_LISTING_EMBEDS)) - {
    "title",
    "description",
    "category",
    "price",
    "currency",
    "location",
    "photos_urls",
    "status",
    "amenities",
}
LONGEST_SUGGESTED = 100  # characters of a search that suggestions are made from
SORTS = ("relevance", "price", "date_created", "date_updated", "title", "rating", "distance")
PRICE = Number(0, money.MAX_PRICE, money.STORED_DECIMALS)


class Currency(Text):
    """An ISO 4217 code that is legal tender today."""

    def __init__(self) -> None:
        super().__init__(3, 3)
        self.pattern = "[A-Z]{3}"  # what forms can say of it

    def check(self, node: SchemaNode, value: Any) -> str:
        code = super().check(node, value)
        if code not in money.CURRENCIES:
            raise InvalidField(node, "unknown_currency", "Send an ISO 4217 code such as USD or EUR.")
        return code

    def json_schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": "^[A-Z]{3}$"}


class Location(SchemaNode):
    """Where it is; strangers see neither the address nor the exact position."""

    schema_type = ObjectType
    read_only = frozenset({"is_approximate"})
    address = SchemaNode(Nullable(Text(255)), missing=drop, title="Street address")
    city = SchemaNode(Nullable(Text(100)), missing=drop, title="City")
    state = SchemaNode(Nullable(Text(100)), missing=drop, title="State or region")
    zip = SchemaNode(Nullable(Text(20)), missing=drop, title="Postal code")
    country = SchemaNode(Nullable(Text(100)), missing=drop, title="Country")
    latitude = SchemaNode(Nullable(Number(-90, 90, 6)), missing=drop, title="Latitude")
    longitude = SchemaNode(Nullable(Number(-180, 180, 6)), missing=drop, title="Longitude")


class NullableObject(Nullable):
    """``null`` or an object; Colander needs the object's fields on the node itself."""

    def __init__(self) -> None:
        super().__init__(ObjectType())

    def json_schema(self) -> dict[str, Any]:
        return {"type": ["object", "null"]}


class _Listing(Body):
    read_only = READ_ONLY

    def validator(self, node: SchemaNode, value: dict[str, Any]) -> None:
        price, currency = value.get("price"), value.get("currency")
        if price is not None and currency is not None and not money.fits(price, currency):
            part = next(child for child in node.children if child.name == "price")
            problem = colander.Invalid(node)
            problem.add(
                InvalidField(part, "too_precise", f"Amounts in {currency} have {money.decimals(currency)} decimals.")
            )
            raise problem


def _optional(typ: StrictType, title: str, description: str = "") -> SchemaNode:
    return SchemaNode(typ, missing=drop, title=title, description=description)


class CreateListing(_Listing):
    """A new listing."""

    title = SchemaNode(Text(255), title="Title")
    description = SchemaNode(Text(20_000, 0, lines=True), missing="", title="Description")
    category = SchemaNode(Text(100), title="Category", description="A slug from /api/categories.")
    price = SchemaNode(PRICE, title="Price")
    currency = SchemaNode(Currency(), missing="USD", title="Currency", description="An ISO 4217 code.")
    location = Location(typ=NullableObject(), missing=None, title="Location")
    photos_urls = SchemaNode(ListOf(WebAddress(), 24, unique=True), missing=(), title="Addresses of photos")
    amenities = SchemaNode(ListOf(Text(60), 50, unique=True), missing=(), title="Amenities")
    status = SchemaNode(OneOf(LISTING_WORKFLOW.initial), missing="active", title="Status")


class EditListing(_Listing):
    """What to change; absent fields stay as they are."""

    title = _optional(Text(255), "Title")
    description = _optional(Text(20_000, 0, lines=True), "Description")
    category = _optional(Text(100), "Category", "A slug from /api/categories.")
    price = _optional(PRICE, "Price")
    currency = _optional(Currency(), "Currency", "An ISO 4217 code.")
    location = Location(typ=NullableObject(), missing=drop, title="Location")
    photos_urls = _optional(ListOf(WebAddress(), 24, unique=True), "Addresses of photos")
    amenities = _optional(ListOf(Text(60), 50, unique=True), "Amenities")
    status = _optional(OneOf(tuple(LISTING_WORKFLOW.states)), "Status")


class StepWithReason(Body):
    """A step that must say why."""

    reason = SchemaNode(Text(2000, 3, lines=True), title="Reason", description="The person concerned reads this.")


class StepWithOptionalReason(Body):
    """A step that may say why."""

    reason = SchemaNode(
        Text(2000, 3, lines=True), missing=None, title="Reason", description="The person concerned reads this."
    )


class ReadListing(Query):
    """How to show one listing."""

    fields = names(LISTING_FIELDS, "Only these fields.")
    embed = names(ONE_LISTING_EMBEDS, "Related resources to show inside; of the reviews the latest three.")


def _coordinates(count: int, lows: tuple[int, ...], highs: tuple[int, ...], hint: str) -> FromQuery:
    return FromQuery(_Numbers(count, lows, highs, hint), lambda text: text.split(","))


class _Numbers(StrictType):
    """A fixed count of comma-separated decimal degrees."""

    def __init__(self, count: int, lows: tuple[int, ...], highs: tuple[int, ...], hint: str) -> None:
        self.count, self.hint = count, hint
        self.parts = [Number(low, high, 20) for low, high in zip(lows, highs, strict=True)]

    def check(self, node: SchemaNode, value: Any) -> tuple[float, ...]:
        if not isinstance(value, list) or len(value) != self.count:
            raise InvalidField(node, "wrong_format", self.hint)
        return tuple(float(part.check(node, text.strip())) for part, text in zip(self.parts, value, strict=True))

    def json_schema(self) -> dict[str, Any]:
        number = r"-?\d+(\.\d+)?"
        return {"type": "string", "pattern": f"^{','.join([number] * self.count)}$"}


class SearchListings(PageQuery):
    """The search: every parameter narrows, ``sortBy`` and ``order`` arrange."""

    search = SchemaNode(
        FromQuery(Text(200)),
        missing=None,
        description='Words; "phrases", -exclusions and or work; the last word may be a beginning.',
    )
    category = SchemaNode(FromQuery(Text(100)), missing=None, description="A slug; its subcategories count too.")
    location = SchemaNode(FromQuery(Text(100)), missing=None, description="City, state, postal code or country.")
    min_price = SchemaNode(FromQuery(PRICE), missing=None, description="Lowest price, in the listing's own currency.")
    max_price = SchemaNode(FromQuery(PRICE), missing=None, description="Highest price, in the listing's own currency.")
    amenities = SchemaNode(
        FromQuery(ListOf(Text(60), 20, unique=True)), missing=(), description="All of these, separated by commas."
    )
    verified = SchemaNode(FromQuery(Boolean()), missing=None, description="Only verified listings, or only others.")
    owner = SchemaNode(FromQuery(Integer(1)), missing=None, description="A user_id.")
    near = SchemaNode(
        _coordinates(2, (-90, -180), (90, 180), "Send latitude,longitude in degrees."),
        missing=None,
        description="latitude,longitude: the point that `radius_km` and the sort `distance` refer to.",
    )
    radius_km = SchemaNode(
        FromQuery(Number(Decimal("0.1"), 20_000, 3)), missing=None, description="Farthest distance from `near`, in km."
    )
    bbox = SchemaNode(
        _coordinates(4, (-180, -90, -180, -90), (180, 90, 180, 90), "Send west,south,east,north in degrees."),
        missing=None,
        description="west,south,east,north in degrees; west may exceed east across the antimeridian.",
    )
    sortBy = SchemaNode(  # noqa: N815  the name on the wire
        FromQuery(OneOf(SORTS)), missing=None, description="`relevance` where there are words, else `date_created`."
    )
    order = SchemaNode(
        FromQuery(OneOf(("asc", "desc"))), missing=None, description="Each sort has its usual one by default."
    )
    facets = names(FACETS, "Counts of the matches by these.")
    fields = names(LISTING_FIELDS, "Only these fields of each listing.")
    embed = names(LISTING_EMBEDS, "Related resources to show inside each listing.")


class ListOwnListings(PageQuery):
    """One's own listings."""

    status = SchemaNode(
        FromQuery(ListOf(OneOf((*LISTING_WORKFLOW.states, "deleted")), 8, unique=True)),
        missing=(),
        description="Only these states; `deleted` shows what can be restored.",
    )
    fields = names(LISTING_FIELDS, "Only these fields of each listing.")


class ListListings(PageQuery):
    """Somebody's listings."""

    fields = names(LISTING_FIELDS, "Only these fields of each listing.")


class SuggestionQuery(Query):
    """The beginning of a search."""

    query = SchemaNode(FromQuery(Text(LONGEST_SUGGESTED)), description="What has been typed so far.")
    limit = SchemaNode(FromQuery(Integer(1, 20)), missing=10, description="Suggestions at most.")
