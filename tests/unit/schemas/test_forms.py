"""What forms say of their fields is what the schemas enforce: every limit of every field of every body, tried out."""

from __future__ import annotations

import random
import re
import shutil
import string
import subprocess
from collections.abc import Iterator
from typing import Any

import colander
import pytest

from marketplace_api import app  # noqa: F401 - all operations are declared once the views are imported
from marketplace_api.domain.identity.passwords import weaknesses
from marketplace_api.domain.kernel import money
from marketplace_api.hal.affordances import ALL
from marketplace_api.schemas.base import Body, field_errors
from marketplace_api.schemas.catalog.listings import CreateListing
from marketplace_api.schemas.describe import properties_of
from marketplace_api.schemas.identity.accounts import NewPassword, Register
from marketplace_api.schemas.types import Nullable
from tests.support.samples import VALUES

BODIES = {type(operation.body).__name__: operation.body for operation in ALL if operation.body is not None}
NODE = shutil.which("node")
AUDITED = {
    "name",
    "prompt",
    "required",
    "placeholder",
    "properties",
    "options",
    "multiple",
    "minItems",
    "maxItems",
    "type",
    "minLength",
    "maxLength",
    "regex",
    "min",
    "max",
    "step",
    "value",
}


def _fields() -> Iterator[tuple[str, colander.SchemaNode, dict[str, Any]]]:
    for name, body in BODIES.items():
        yield from _below(name, body)


def _below(path: str, node: colander.SchemaNode) -> Iterator[tuple[str, colander.SchemaNode, dict[str, Any]]]:
    for child, described in zip(node.children, properties_of(node), strict=True):
        yield f"{path}.{child.name}", child, described
        yield from _below(f"{path}.{child.name}", child)


# What a field's text begins with, and what it goes on with.
OWN_WORDS = {
    "code": ("1", "1"),
    "endpoint": ("https://p.example/", "a"),
    "p256dh": (VALUES["keys"]["p256dh"], "="),
    "auth": (VALUES["keys"]["auth"], "="),
}

FIELDS = [pytest.param(node, described, id=path) for path, node, described in _fields()]


def _takes(node: colander.SchemaNode, value: Any) -> bool:
    try:
        node.deserialize(value)
    except colander.Invalid:
        return False
    return not (isinstance(node.typ, NewPassword) and weaknesses(value, username="", email=""))


def _codes(node: colander.SchemaNode, value: Any) -> set[str]:
    """What is wrong with the value."""
    try:
        node.deserialize(value)
    except colander.Invalid as problem:
        return {error.code for error in field_errors(problem, "body")}
    return set()


def _text(described: dict[str, Any], length: int) -> str:
    """Text of this length that is what the field wants otherwise."""
    match described["type"]:
        case "email":
            labels = "b." + "".join("c" * 60 + "." for _ in range(3)) + "d" * 60
            domain = labels[: max(3, min(length - 2, length - 65))]
            return "a" * (length - 1 - len(domain)) + "@" + domain
        case "url":
            start = next(start for start in ("https://b.de/", "https://b.d", "https://") if len(start) <= length)
            return start + "a" * (length - len(start))
        case "password":
            return "".join(random.Random(length).choices(string.ascii_letters, k=length))
    if described["name"] == "phone" and described["minLength"] == 8:
        return ("+690" + " " * (length - 8) + "7290")[:length]
    start, last = OWN_WORDS.get(described["name"], ("", ""))
    if start:
        return (start + last * length)[:length]
    if described["name"] == "time_zone":
        return "Europe/Berlin" if length in (1, 64) else "M" * length
    if described.get("regex", "").startswith("([01]"):
        return "22:05" if length == 5 else "2" * length
    if described.get("regex") == "[A-Z]{3}":
        return "USD" + "D" * (length - 3) if length >= 3 else "US"
    return "a" * length


def _items(node: colander.SchemaNode, count: int) -> list[Any]:
    typ = node.typ.inner if isinstance(node.typ, Nullable) else node.typ
    schema = typ.json_schema()["items"]
    if schema["type"] == "object":
        return [{"photo_id": number + 1} for number in range(count)]
    if "enum" in schema:
        return (schema["enum"] * 2)[:count]
    start = "https://example.org/" if schema.get("format") == "uri" else "item "
    return [f"{start}{number}" for number in range(count)]


def _edges(node: colander.SchemaNode, described: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    """Values on the allowed side of every limit, and on the other one."""
    right: list[Any] = []
    wrong: list[Any] = [object()]
    if "value" in described:
        right.append(described["value"])
    if "options" in described:
        assert described["options"]["minItems"] == int(described["required"])
        right += described["options"]["inline"]
        wrong += ["no such choice", *(word.upper() for word in described["options"]["inline"])]
    elif described.get("multiple"):
        low, high = described.get("minItems", 0), described["maxItems"]
        right += [_items(node, high), _items(node, low)]
        wrong += [_items(node, high + 1), *([_items(node, low - 1)] if low else []), "text"]
    elif described.get("type") == "number":
        low, high, step = described["min"], described["max"], described["step"]
        right += [low, high, low + step]
        wrong += [low - step, high + step, low + step / 2, "many", True]
    elif described.get("type") == "checkbox":
        right += [True, False]
        wrong += ["yes", 1]
    elif "minLength" in described:
        low, high = described["minLength"], described["maxLength"]
        right += [_text(described, low), _text(described, high)]
        wrong += [*([_text(described, low - 1)] if low else []), _text(described, high + 1), 1]
    return right, wrong


@pytest.mark.parametrize(("node", "described"), FIELDS)
def test_every_limit_is_the_real_one(node: colander.SchemaNode, described: dict[str, Any]) -> None:
    assert set(described) <= AUDITED, "a form says something that nobody tries out"
    right, wrong = _edges(node, described)
    assert [value for value in right if not _takes(node, value)] == []
    assert [value for value in wrong if _takes(node, value)] == []
    assert _takes(node, colander.null) is not described["required"]


@pytest.mark.parametrize(("node", "described"), [field for field in FIELDS if "regex" in field.values[1]])
def test_every_pattern_is_the_real_one(node: colander.SchemaNode, described: dict[str, Any]) -> None:
    accepted, refused = [], []
    for length in range(described["minLength"], described["minLength"] + 3):
        for text in (_text(described, length), "-" * length, "a" * (length - 1) + ".", " /" * length, "É" * length):
            codes = _codes(node, text)
            if codes != {"not_a_key"}:  # which is more than a pattern can tell
                (refused if codes else accepted).append(text)
    assert accepted
    assert refused
    assert all(re.fullmatch(described["regex"], text) for text in accepted)
    short_enough = [text for text in refused if len(text) <= described["maxLength"]]
    assert not any(re.fullmatch(described["regex"], text) for text in short_enough)


@pytest.mark.skipif(NODE is None, reason="needs node")
def test_browsers_can_read_every_pattern() -> None:
    """HTML compiles ``pattern`` with the flag v, and ignores one that it cannot read."""
    for pattern in {field.values[1]["regex"] for field in FIELDS if "regex" in field.values[1]}:  # type: ignore[index]
        subprocess.run([str(NODE), "-e", "new RegExp(process.argv[1], 'v')", pattern], check=True, capture_output=True)


def test_a_new_password_is_told_the_policys_limits() -> None:
    (password,) = (each for each in properties_of(Register()) if each["name"] == "password")
    assert (password["minLength"], password["maxLength"], password["type"]) == (10, 1024, "password")


def test_defaults_are_shown_as_values() -> None:
    shown = {each["name"]: each.get("value") for each in properties_of(CreateListing())}
    assert (shown["currency"], shown["status"], shown["description"]) == ("USD", "active", None)


def test_every_currency_fits_its_pattern() -> None:
    assert all(re.fullmatch("[A-Z]{3}", code) for code in money.CURRENCIES)


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_what_a_read_only_field_is_called_is_no_field(body: Body) -> None:
    """Ignored or taken, not both."""
    assert not body.read_only & {child.name for child in body.children}
