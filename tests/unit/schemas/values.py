"""Values to try on schemas: anything that JSON can hold and more, and what a JSON Schema says is right."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

CHARACTERS = st.characters(exclude_categories=())  # lone surrogates included

NASTY = [
    None,
    "",
    " ",
    "\x00",
    "a\x00b",
    "\ud800",
    "a\udfff",
    "\u2028",
    "\ufeff",
    "ﬀ",
    "İ",
    "１２",
    "٣",
    "NaN",
    "-Infinity",
    "1e400",
    "0E-99999",
    "1e-400",
    "1_000",
    "+5",
    " 7 ",
    "19.99",
    "-0",
    "0x10",
    "9" * 5000,
    "a" * 100_000,
    "\U0001f600" * 600,
    float("nan"),
    float("inf"),
    -0.0,
    1e-7,
    1e308,
    2.0,
    10**400,
    -(10**4000),
    2**63,
    2**63 - 1,
    True,
    False,
    [],
    {},
    [None],
    {"": None},
    "2026-03-01T12:00:00Z",
    "2026-03-01T12:00:00",
    "20260301T120000+0100",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
    "2026-03-01\x0012:00:00Z",
    "ada@example.org",
    "ada@BÜCHER.example",
    "a" * 64 + "@example.org",
    "ada@" + "ü" * 60 + ".example",
    "@",
    "ada@[127.0.0.1]",
    '"a b"@example.org',
    "https://example.org/a",
    "https://ü.example:٣",
    "http://a",
    "https://" + "a" * 600,
    "USD",
    "usd",
    "XXX",
    "1,2",
    "90,180",
    "1,nan",
    ",,",
    "true",
    "YES",
]


def nested(levels: int) -> Any:
    value: Any = []
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


SCALARS = (
    st.sampled_from([*NASTY, nested(200)])
    | st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(CHARACTERS, max_size=80)
    | st.decimals(allow_nan=True, allow_infinity=True).map(str)
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(CHARACTERS, max_size=10), inner, max_size=4),
    max_leaves=8,
)
WORDS = st.sampled_from([value for value in NASTY if isinstance(value, str)]) | st.text(CHARACTERS, max_size=80)


def right(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that the schema allows, made from those of its keywords that we use."""
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "oneOf" in schema:
        return st.one_of([right(_narrowed(schema, part)) for part in schema["oneOf"]])
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return st.one_of([_of_type(name, schema) for name in types])


def _narrowed(schema: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """An object's schema with one of its alternatives settled."""
    rest = {name: value for name, value in schema.items() if name != "oneOf"}
    narrower = {name: {**schema["properties"][name], **value} for name, value in part["properties"].items()}
    return {
        **rest,
        "required": [*schema.get("required", []), *part["required"]],
        "properties": {**schema["properties"], **narrower},
    }


def _of_type(name: str, schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    match name:
        case "null":
            return st.none()
        case "boolean":
            return st.booleans()
        case "integer":
            return st.integers(schema.get("minimum"), schema.get("maximum"))
        case "number":
            numbers = st.floats(schema.get("minimum"), schema.get("maximum"), allow_nan=False)
            return numbers.map(lambda number: round(number, 2))
        case "array":
            return st.lists(
                right(schema["items"]), min_size=schema.get("minItems", 0), max_size=min(5, schema["maxItems"])
            )
        case "object":
            return _objects(schema)
    return _texts(schema)


def _texts(schema: dict[str, Any]) -> st.SearchStrategy[str]:
    if schema.get("format") == "date-time":
        return st.datetimes(timezones=st.timezones()).map(lambda moment: moment.isoformat())
    if schema.get("format") == "email":
        return st.emails().filter(lambda address: len(address) <= schema["maxLength"])
    if "pattern" in schema:
        longest = schema.get("maxLength", 1000)
        texts = st.from_regex(schema["pattern"].removesuffix("$") + r"\Z", alphabet=st.characters(codec="utf-8"))
        return texts.map(str.strip).filter(lambda text: schema.get("minLength", 0) <= len(text) <= longest)
    shortest, longest = schema.get("minLength", 0), schema.get("maxLength", 100)
    return st.text(st.characters(codec="utf-8"), min_size=shortest, max_size=min(longest, shortest + 30))


def _objects(schema: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    needed = schema.get("required", [])
    known = {name: right(part) for name, part in schema["properties"].items() if not part.get("readOnly")}
    return st.fixed_dictionaries(
        {name: known[name] for name in needed},
        optional={name: part for name, part in known.items() if name not in needed},
    )
