"""Whatever comes in, a type gives what it promises or a refusal that can be told; and its JSON Schema says the same."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import colander
import orjson
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from marketplace_api import app  # noqa: F401 - all operations are declared once the views are imported
from marketplace_api.characters import folded_lines
from marketplace_api.database.base import BIGINT_MAX
from marketplace_api.domain.kernel import money
from marketplace_api.hal import affordances
from marketplace_api.schemas import base, types
from marketplace_api.schemas.base import field_errors
from marketplace_api.schemas.catalog import listings
from marketplace_api.schemas.describe import json_schema
from marketplace_api.schemas.web_address import WebAddress
from tests.unit.schemas.values import ANYTHING, CHARACTERS, NASTY, SCALARS, WORDS, right

quick = settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.large_base_example],
)


@dataclass(frozen=True)
class Case:
    """A type, what every value of it is like, and what its JSON Schema leaves to the type."""

    typ: types.StrictType
    promise: Callable[[Any], bool]
    unsaid: frozenset[str] = field(default=frozenset())

    @property
    def node(self) -> colander.SchemaNode:
        return colander.SchemaNode(self.typ, name="field")


def clean(minimum: int, maximum: int, pattern: str = "", kept: str = "") -> Callable[[Any], bool]:
    """Text of so many characters with no control and no lone surrogate among them, but those that are ``kept``."""

    def check(value: Any) -> bool:
        controls = [c for c in value if unicodedata.category(c) in ("Cc", "Cs")] if isinstance(value, str) else None
        return (
            controls is not None
            and set(controls) <= set(kept)
            and minimum <= len(value) <= maximum
            and (not pattern or bool(re.fullmatch(pattern, value)))
        )

    return check


def decimal(low: Any, high: Any, places: int) -> Callable[[Any], bool]:
    def check(value: Any) -> bool:
        if not isinstance(value, Decimal) or not value.is_finite() or not Decimal(low) <= value <= Decimal(high):
            return False
        exponent = value.as_tuple().exponent
        return isinstance(exponent, int) and -places <= exponent <= 20

    return check


def whole(low: int, high: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and low <= value <= high


def many(item: Callable[[Any], bool], most: int, *, unique: bool = False) -> Callable[[Any], bool]:
    def check(value: Any) -> bool:
        fits = isinstance(value, list) and len(value) <= most and all(item(part) for part in value)
        return fits and (not unique or len(value) == len(set(value)))

    return check


def moment(value: Any) -> bool:
    return isinstance(value, datetime) and value.utcoffset() == timedelta(0)


CONTROLS = "".join(map(chr, (*range(1, 0x20), *range(0x7F, 0xA0))))
TEXT = frozenset({"invalid_characters", "line_break"})
ADDRESS = TEXT | {"address_refused", "wrong_format"}
NUMBER = frozenset({"out_of_range", "too_precise"})
NAME = r"[a-z]+(?:-[a-z]+)*"
CASES = {
    "Text": Case(types.Text(50, 2), clean(2, 50), TEXT | {"too_short"}),
    "Text, empty": Case(types.Text(10, 0), clean(0, 10), TEXT),
    "Text, pattern": Case(types.Text(30, pattern=NAME), clean(1, 30, NAME), TEXT),
    "Text, as it is": Case(types.Text(20, strip=False, secret=True), clean(1, 20, kept=CONTROLS), TEXT),
    "Text, lines": Case(types.Text(50, 0, lines=True), clean(0, 50, kept="\n\t"), TEXT),
    "Email": Case(types.Email(), clean(3, 255, r"[^@]+@[^@\s]+"), TEXT | {"not_an_email"}),
    "WebAddress": Case(WebAddress(200), clean(10, 200, r"https://\S+"), ADDRESS),
    "WebAddress, called": Case(WebAddress(200, called=True), clean(10, 200, r"https?://\S+"), ADDRESS),
    "Integer": Case(types.Integer(), whole(0, BIGINT_MAX)),
    "Integer, bounds": Case(types.Integer(-5, 5), whole(-5, 5)),
    "Number": Case(types.Number(0, money.MAX_PRICE, 2), decimal(0, money.MAX_PRICE, 2), NUMBER),
    "Number, fine": Case(types.Number(-90, 90, 6), decimal(-90, 90, 6), NUMBER),
    "Boolean": Case(types.Boolean(), lambda value: type(value) is bool),
    "OneOf": Case(types.OneOf(("this", "others")), lambda value: value in ("this", "others")),
    "ListOf": Case(types.ListOf(types.Text(9), 3), many(clean(1, 9), 3), TEXT | {"too_short"}),
    "ListOf, some": Case(
        types.ListOf(types.Integer(), 4, 2), lambda value: 2 <= len(value) <= 4 and many(whole(0, BIGINT_MAX), 4)(value)
    ),
    "ListOf, unique": Case(types.ListOf(types.Integer(), 4, unique=True), many(whole(0, BIGINT_MAX), 4, unique=True)),
    "Nullable": Case(
        types.Nullable(types.Text(5)), lambda value: value is None or clean(1, 5)(value), TEXT | {"too_short"}
    ),
    "Nullable, number": Case(
        types.Nullable(types.Number(0, 9, 1)), lambda value: value is None or decimal(0, 9, 1)(value), NUMBER
    ),
    "Nullable, choice": Case(types.Nullable(types.OneOf(("a",))), lambda value: value in (None, "a")),
    "Moment": Case(types.Moment(), moment),
    "Currency": Case(listings.Currency(), money.CURRENCIES.__contains__, frozenset({"unknown_currency"})),
}

coordinates = listings.SearchListings()["near"].typ
# What a form can only tell in words.
NEEDS_KNOWLEDGE = {
    "too_short",
    "not_an_email",
    "unknown_currency",
    "unknown_time_zone",
    "not_a_phone",
    "not_a_mobile",
    "not_a_key",
}
QUERY_CASES = {
    "Text": Case(types.FromQuery(types.Text(50)), clean(1, 50)),
    "Integer": Case(types.FromQuery(types.Integer(1, 100)), whole(1, 100)),
    "Number": Case(types.FromQuery(types.Number(0, 9, 2)), decimal(0, 9, 2)),
    "Boolean": Case(types.FromQuery(types.Boolean()), lambda value: type(value) is bool),
    "Moment": Case(types.FromQuery(types.Moment()), moment),
    "OneOf": Case(types.FromQuery(types.OneOf(("asc", "desc"))), ("asc", "desc").__contains__),
    "ListOf": Case(types.FromQuery(types.ListOf(types.Text(9), 3, unique=True)), many(clean(1, 9), 3, unique=True)),
    "names": Case(base.names(("a", "b"), "").typ, many(("a", "b").__contains__, 2, unique=True)),
    "coordinates": Case(
        coordinates, lambda value: len(value) == 2 and -90 <= value[0] <= 90 and -180 <= value[1] <= 180
    ),
}

BODIES = {f"{o.method} {o.path}": o.body for o in affordances.ALL if o.body is not None}
QUERIES = {f"{o.method} {o.path}": o.query for o in affordances.ALL if o.query is not None}


def outcome(node: colander.SchemaNode, value: Any) -> tuple[Any, set[str]]:
    """The accepted value and no codes, or the codes of a refusal, each of which has a sentence."""
    try:
        return node.deserialize(value), set()
    except colander.Invalid as problem:
        errors = field_errors(problem, "body")
    assert errors, "refused without a reason"
    for error in errors:
        assert re.fullmatch("[a-z_]+", error.code), error
        assert error.message.strip(), error
        assert error.message[0].isupper(), error
        assert len(error.message) < 1000, error
    return None, {error.code for error in errors}


def agrees(schema: dict[str, Any], value: Any) -> bool:
    return Draft202012Validator(schema).is_valid(value)


def as_kept(typ: types.StrictType, value: Any) -> Any:
    """The value as its schema describes it: text without the blanks around it, decimals as numbers."""
    inner = typ.inner if isinstance(typ, types.Nullable) else typ
    if isinstance(value, str) and isinstance(inner, types.Text) and inner.strip:
        return folded_lines(value.strip()).strip()
    if isinstance(value, str) and isinstance(inner, types.Number):
        return float(value)
    if isinstance(value, list) and isinstance(inner, types.ListOf):
        return [as_kept(inner.item, item) for item in value]
    return value


def test_every_type_is_tried() -> None:
    tried = {type(case.typ) for case in CASES.values()} | {types.FromQuery}
    own = {kind for kind in vars(types).values() if isinstance(kind, type) and issubclass(kind, types.StrictType)}
    assert own - tried == {types.StrictType}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
@given(data=st.data())
@quick
def test_a_value_is_as_promised_or_refused(case: Case, data: st.DataObject) -> None:
    value = data.draw(ANYTHING | right(case.typ.json_schema()))
    accepted, codes = outcome(case.node, value)
    assert codes or case.promise(accepted), (value, accepted)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_no_nasty_value_slips_through(case: Case) -> None:
    for value in NASTY:
        accepted, codes = outcome(case.node, value)
        assert codes or case.promise(accepted), (value, accepted)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
@given(data=st.data())
@quick
def test_what_the_schema_allows_is_accepted(case: Case, data: st.DataObject) -> None:
    schema = case.typ.json_schema()
    value = data.draw(right(schema))
    assume(agrees(schema, value) and agrees(schema, as_kept(case.typ, value)))
    _, codes = outcome(case.node, value)
    assert codes <= case.unsaid, value


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
@given(data=st.data())
@quick
def test_what_is_accepted_the_schema_allows(case: Case, data: st.DataObject) -> None:
    schema = case.typ.json_schema()
    value = data.draw(SCALARS | right(schema) | st.lists(SCALARS, max_size=5))
    _, codes = outcome(case.node, value)
    assert codes or agrees(schema, as_kept(case.typ, value)), value


@pytest.mark.parametrize("case", QUERY_CASES.values(), ids=QUERY_CASES.keys())
@given(text=WORDS | st.integers().map(str) | st.decimals().map(str) | st.lists(WORDS, max_size=4).map(",".join))
@quick
def test_a_parameter_is_as_promised_absent_or_refused(case: Case, text: str) -> None:
    missing = object()
    node = colander.SchemaNode(case.typ, name="field", missing=missing)
    accepted, codes = outcome(node, text)
    assert codes or (accepted is missing and text == "") or case.promise(accepted), (text, accepted)


@pytest.mark.parametrize("name", sorted(QUERY_CASES.keys() - {"coordinates"}))
@given(value=ANYTHING)
@quick
def test_a_parameter_that_is_no_text_is_refused_or_as_promised(name: str, value: Any) -> None:
    case = QUERY_CASES[name]
    accepted, codes = outcome(colander.SchemaNode(case.typ, name="field", missing=None), value)
    assert codes or value == "" or case.promise(accepted), (value, accepted)


def objects(node: colander.SchemaNode) -> st.SearchStrategy[Any]:
    """Objects with the known names, with others, and with anything in them."""
    known = [child.name for child in node.children] + sorted(getattr(node, "read_only", ()))
    keys = st.sampled_from([*known, "_links", "nme"]) | st.text(CHARACTERS, max_size=70)
    return ANYTHING | st.dictionaries(keys, ANYTHING, max_size=6)


@pytest.mark.parametrize("node", BODIES.values(), ids=BODIES.keys())
@given(data=st.data())
@settings(quick, max_examples=15)
def test_a_body_has_known_fields_only_or_is_refused(node: colander.SchemaNode, data: st.DataObject) -> None:
    value = data.draw(objects(node) | right(json_schema(node)))
    accepted, codes = outcome(node, value)
    if codes:
        return
    known = {child.name for child in node.children}
    assert {child.name for child in node.children if child.required} <= accepted.keys() <= known
    schema = json_schema(node)
    for name, part in value.items():
        kept = as_kept(next(c.typ for c in node.children if c.name == name), part) if name in known else part
        # One field at a time: what several must hold together is another test's.
        assert agrees({**schema, "required": [], "oneOf": [{}]}, {name: kept}), (name, part)


@pytest.mark.parametrize("node", BODIES.values(), ids=BODIES.keys())
@given(data=st.data())
@settings(quick, max_examples=15)
def test_a_body_that_the_schema_allows_is_accepted(node: colander.SchemaNode, data: st.DataObject) -> None:
    value = data.draw(right(json_schema(node)))
    _, codes = outcome(node, value)
    assert codes <= TEXT | NUMBER | ADDRESS | NEEDS_KNOWLEDGE, value


@pytest.mark.parametrize("node", QUERIES.values(), ids=QUERIES.keys())
@given(data=st.data())
@settings(quick, max_examples=15)
def test_a_query_is_complete_or_refused(node: colander.SchemaNode, data: st.DataObject) -> None:
    keys = st.sampled_from([*(child.name for child in node.children), "pgae"])
    accepted, codes = outcome(node, data.draw(st.dictionaries(keys, WORDS, max_size=6)))
    assert codes or accepted.keys() == {child.name for child in node.children}


def test_all_errors_come_at_once_and_can_be_sent() -> None:
    node = listings.CreateListing()
    wrong = {
        "title": " ",
        "price": "1e-400",
        "location": {"latitude": 91, "town": "X"},
        "amenities": ["ok", 7],
        "tilte": 1,
    }
    with pytest.raises(colander.Invalid) as refused:
        node.deserialize(wrong)
    errors = field_errors(refused.value, "body")
    orjson.dumps([error.asdict() for error in errors])
    assert {(error.name, error.code) for error in errors} == {
        ("title", "too_short"),
        ("category", "required"),
        ("price", "too_precise"),
        ("amenities.1", "not_text"),
        ("location.latitude", "out_of_range"),
        ("location.town", "unknown_field"),
        ("tilte", "unknown_field"),
    }
    assert next(error.message for error in errors if error.name == "tilte").endswith("Did you mean title?")


def test_a_flood_of_unknown_fields_is_told_in_part() -> None:
    node = listings.EditListing()
    with pytest.raises(colander.Invalid) as refused:
        node.deserialize({f"description{number}": 1 for number in range(50_000)})
    assert len(field_errors(refused.value, "body")) == base.MAX_UNKNOWN


def test_a_representation_can_be_sent_back() -> None:
    sent = {"listing_id": 7, "title": "Chair", "rating_count": 0, "_links": {"self": {"href": "/"}}, "_templates": {}}
    node = listings.EditListing()
    assert node.deserialize(sent) == {"title": "Chair"}
    assert agrees(json_schema(node), sent)


def test_zero_has_one_form() -> None:
    """Longer ones overflow PostgreSQL's numeric."""
    node = CASES["Number"].node
    assert {str(node.deserialize(text)) for text in ("0", "-0", "0E-99999", "0.000", "0E+9")} == {"0"}


def test_moments_are_utc() -> None:
    node = CASES["Moment"].node
    assert node.deserialize("2026-03-01T12:00:00+02:00") == datetime(2026, 3, 1, 10, tzinfo=UTC)


def test_what_the_base_type_is_given_is_refused() -> None:
    assert outcome(colander.SchemaNode(types.StrictType(), name="field"), 1) == (None, {"invalid"})
    assert types.StrictType().json_schema() == {}


@pytest.mark.parametrize("kind", ["Number", "Integer"])
def test_a_number_too_long_to_be_written_is_refused(kind: str) -> None:
    assert outcome(CASES[kind].node, 10**5000)[1] == {"out_of_range"}
