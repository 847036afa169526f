"""The conditions of bulk moderation: what they mean, and what a person is told who mistyped one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace_api.domain.kernel.filters import LONGEST, MOST_CONDITIONS, OPERATORS, Condition, Field, Kind, parse
from marketplace_api.errors import Invalid

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
FIELDS = {
    "title": Field(Kind.TEXT),
    "category": Field(Kind.CHOICE, ("cars", "phones")),
    "roles": Field(Kind.SET, ("customer", "driver")),
    "price": Field(Kind.NUMBER),
    "user_id": Field(Kind.IDENTIFIER),
    "verified": Field(Kind.FLAG),
    "created": Field(Kind.TIME),
}


def parsed(text: str) -> tuple[Condition, ...]:
    return parse(text, FIELDS, NOW)


def refused(text: str) -> str:
    with pytest.raises(Invalid) as caught:
        parsed(text)
    (error,) = caught.value.errors
    assert (error.location, error.name, error.code) == ("body", "where", "invalid_condition")
    return error.message


def test_conditions_are_joined_by_and() -> None:
    assert parsed("category=cars and price<1 and title ~ free and created<7d") == (
        Condition("category", "=", "cars"),
        Condition("price", "<", Decimal(1)),
        Condition("title", "~", "free"),
        Condition("created", ">", NOW - timedelta(days=7)),
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("title = 'two words'", Condition("title", "=", "two words")),
        ('title ~ "a \\"quoted\\" \\\\ word"', Condition("title", "~", 'a "quoted" \\ word')),
        ("title ~ 'and price < 1'", Condition("title", "~", "and price < 1")),
        ("title = ''", Condition("title", "=", "")),
        ("  TITLE!=Käse  ", Condition("title", "!=", "Käse")),
        ("title = and", Condition("title", "=", "and")),
        ("title = 50%_off", Condition("title", "=", "50%_off")),
        ("roles = driver", Condition("roles", "=", "driver")),
        ("price >= -12.50", Condition("price", ">=", Decimal("-12.50"))),
        ("user_id = 42", Condition("user_id", "=", 42)),
        ("verified = no", Condition("verified", "=", False)),
        ("verified != TRUE", Condition("verified", "!=", True)),
        ("created >= 36h", Condition("created", "<=", NOW - timedelta(hours=36))),
        ("created > 2w", Condition("created", "<", NOW - timedelta(weeks=2))),
        ("created < 2026-11-01", Condition("created", "<", datetime(2026, 11, 1, tzinfo=UTC))),
        (
            "created <= '2026-11-01 09:30:00+01:00'",
            Condition("created", "<=", datetime(2026, 11, 1, 8, 30, tzinfo=UTC)),
        ),
    ],
)
def test_values_have_the_type_of_their_field(text: str, expected: Condition) -> None:
    assert parsed(text) == (expected,)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "for example: title ~ free and price < 1"),
        ("titel ~ free", "did you mean 'title'?"),
        ("xyzzy = 1", "There are category, created"),
        ("category = car", "did you mean 'cars'?"),
        ("category = zzz", "one of cars, phones"),
        ("category ~ car", "cannot be compared by ~: use = !="),
        ("title < free", "cannot be compared by <: use = != ~"),
        ("title free", "Expected an operator after 'title'"),
        ("title ~", "Expected a value for 'title' at the end"),
        ("title ~ two words", "A value with spaces needs quotes"),
        ("price < 1 or price > 2", "`or` is not known"),
        ("price < 1 and", "Expected another condition after the last `and`."),
        ("price < 1 and ", "Expected a field at the end"),
        ("title = 'open", "is never closed"),
        ("price < cheap", "needs a number"),
        ("price < NaN", "needs a number"),
        ("price < 1e999", "needs a number"),
        ("user_id = 1.5", "needs an id"),
        ("user_id = 99999999999999999999", "needs an id"),
        ("user_id = -1", "needs an id"),
        ("verified = maybe", "is yes or no"),
        ("price < 1e5", "needs a number"),
        ("price < 1_000", "needs a number"),
        ("price < 1e-999999", "needs a number"),
        ("price < 0E+999999", "needs a number"),
        ("price < ١٢", "needs a number"),
        ("price < sNaN", "needs a number"),
        ("price < -Infinity", "needs a number"),
        ("price < .", "needs a number"),
        ("price < " + "9" * 20, "needs a number"),
        ("user_id = ٣", "needs an id"),
        ("user_id = 9223372036854775808", "needs an id"),
        ("created < ７d", "an age such as 7d"),
        ("created < -7d", "an age such as 7d"),
        ("created < 7dd", "an age such as 7d"),
        ("created < 9999-12-31T23:00-23:00", "an age such as 7d"),
        ("created < 0001-01-01T00:00+01:00", "an age such as 7d"),
        ("created < 2026-02-30", "an age such as 7d"),
        ("created < 2026-11-01T00:00+24:00", "an age such as 7d"),
        ("title ~ ''", "Everything contains nothing"),
        ("title = \ud800", "no UTF-8"),
        ("title\0 = a", "NUL"),
        ("ſtate = a", "Expected a field"),
        ("title = a' and price < 1", "Expected `and`"),
        ("title = 'a''b'", "Expected `and`"),
        ("title == a", "Expected a value"),
        ('title = "a\\"', "is never closed"),
        ("(price < 1)", "Expected a field"),
        ("price < 1; drop table users", "needs a number"),
        ("price < 1 and" * 10_000, "characters"),
        ("created < soon", "an age such as 7d"),
        ("created < 999999w", "an age such as 7d"),
        ("created = 7d", "use < <= > >="),
        ("title = a\0b", "NUL"),
        ("; drop table users", "Expected a field"),
        ("title = " + "x" * LONGEST, "characters"),
        (" and ".join(["price < 1"] * (MOST_CONDITIONS + 1)), "conditions"),
    ],
)
def test_what_cannot_be_understood_is_explained(text: str, told: str) -> None:
    assert told in refused(text)


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@given(st.text(min_size=1, max_size=50).filter(lambda text: "\0" not in text), st.sampled_from(OPERATORS[Kind.TEXT]))
def test_any_text_can_be_quoted(text: str, operator: str) -> None:
    assert parsed(f"title {operator} {quoted(text)} and price < 1")[0] == Condition("title", operator, text)


@given(st.text(max_size=60))
def test_nothing_but_a_refusal_comes_of_nonsense(text: str) -> None:
    try:
        found = parsed(text)
    except Invalid as error:
        assert error.errors
    else:
        assert all(condition.field in FIELDS for condition in found)
