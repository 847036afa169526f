"""The language of ``--where``: conditions on the fields of a target, joined by ``and``.

    category = cars and price < 1 and title ~ "free money" and created < 7d

A condition is a field, one of ``= != < <= > >= ~`` and a value. Values with spaces, quotes or operators stand in single
or double quotes, in which a backslash takes the next character as it is. ``~`` means: contains, whatever the case. A
time is a date (``2026-11-01``), a moment (``2026-11-01T09:30:00Z``; without a zone it is UTC) or an age: ``created < 7d``
is what is younger than seven days, with ``s m h d w`` for seconds to weeks. An amount of money names its currency,
``price < 100 EUR``: without, one currency must be all that the conditions match.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from difflib import get_close_matches
from enum import StrEnum
from typing import Any

from marketplace_api.domain.kernel import money
from marketplace_api.errors import FieldError, Invalid

LONGEST = 2_000
MOST_CONDITIONS = 20
MOST_NAMED = 20

_FIELD = re.compile(r"[a-z_][a-z0-9_]*", re.IGNORECASE | re.ASCII)
_OPERATOR = re.compile(r"!=|<=|>=|=|<|>|~")
_QUOTED = re.compile(r"\"((?:[^\"\\]|\\.)*)\"|'((?:[^'\\]|\\.)*)'", re.DOTALL)
_BARE = re.compile(r"[^\s\"'=!<>~]+")
_AND = re.compile(r"and(?=\s)", re.IGNORECASE)
_AGE = re.compile(r"([0-9]{1,6})([smhdw])")
# Bounded, because PostgreSQL knows no number with a million decimals.
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,19}(?:\.[0-9]{0,20})?|\.[0-9]{1,20})")
_CURRENCY = re.compile(r"\s*([a-z]{3})(?![^\s\"'=!<>~])", re.IGNORECASE | re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_FLAGS = {"true": True, "yes": True, "false": False, "no": False}
_LARGEST = 2**63 - 1


class Kind(StrEnum):
    """What a field holds, which decides what it can be compared with."""

    TEXT = "text"
    CHOICE = "choice"
    SET = "set"
    NUMBER = "number"
    MONEY = "amount"
    IDENTIFIER = "id"
    FLAG = "yes or no"
    TIME = "time"


OPERATORS: Mapping[Kind, tuple[str, ...]] = {
    Kind.TEXT: ("=", "!=", "~"),
    Kind.CHOICE: ("=", "!="),
    Kind.SET: ("=", "!="),
    Kind.NUMBER: ("=", "!=", "<", "<=", ">", ">="),
    Kind.MONEY: ("=", "!=", "<", "<=", ">", ">="),
    Kind.IDENTIFIER: ("=", "!=", "<", "<=", ">", ">="),
    Kind.FLAG: ("=", "!="),
    Kind.TIME: ("<", "<=", ">", ">="),
}
"""The operators that make sense for each kind; ``=`` of a set means that it holds the value."""

_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


@dataclass(frozen=True, slots=True)
class Field:
    """A field that conditions may name; ``options`` are the values of a choice or a set."""

    kind: Kind
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Condition:
    """``value`` has the type of the field: str, Decimal, int, bool or an aware datetime.

    An age has become the moment before which things are older, and its operator the one that compares with that.
    ``currency`` is that of an amount, if it named one.
    """

    field: str
    operator: str
    value: Any
    currency: str = ""


def parse(text: str, fields: Mapping[str, Field], now: datetime) -> tuple[Condition, ...]:
    """The conditions in ``text``, at least one; ages count from ``now`` (aware).

    Raises Invalid (field ``where``) with a sentence that quotes the place and names what was probably meant.
    """
    if len(text) > LONGEST:
        raise refused(f"Conditions may have {LONGEST} characters.")
    if not is_storable(text):
        raise refused("Conditions are text: they hold a NUL character, or bytes that are no UTF-8.")
    at = _spaces(text, 0)
    if at == len(text):
        raise refused("Say which, for example: " + _example(fields))
    found: list[Condition] = []
    while True:
        condition, at = _condition(text, at, fields, now)
        found.append(condition)
        at = _spaces(text, at)
        if at == len(text):
            return tuple(found)
        if len(found) == MOST_CONDITIONS:
            raise refused(f"There may be {MOST_CONDITIONS} conditions.")
        joint = _AND.match(text, at)
        if joint is None and text[at:].strip().lower() == "and":
            raise refused("Expected another condition after the last `and`.")
        if joint is None:
            raise refused(
                f"Expected `and` before {_rest(text, at)}. A value with spaces needs quotes; `or` is not known."
            )
        at = _spaces(text, joint.end())


def _condition(text: str, at: int, fields: Mapping[str, Field], now: datetime) -> tuple[Condition, int]:
    name = _FIELD.match(text, at)
    if name is None:
        raise refused(f"Expected a field at {_rest(text, at)}: one of {', '.join(sorted(fields))}.")
    field = name[0].lower()
    if field not in fields:
        close = get_close_matches(field, fields, n=1)
        meant = f"; did you mean {close[0]!r}?" if close else "."
        raise refused(f"There is no field {name[0]!r}{meant} There are {', '.join(sorted(fields))}.")
    at = _spaces(text, name.end())
    kind = fields[field].kind
    operator = _OPERATOR.match(text, at)
    if operator is None:
        raise refused(f"Expected an operator after {field!r}: one of {' '.join(OPERATORS[kind])}.")
    if operator[0] not in OPERATORS[kind]:
        raise refused(
            f"{field!r} is a {kind} and cannot be compared by {operator[0]}: use {' '.join(OPERATORS[kind])}."
        )
    value, at = _value(text, _spaces(text, operator.end()), field)
    if kind is Kind.MONEY:
        return _amount(field, operator[0], value, text, at)
    return _typed(field, fields[field], operator[0], value, now), at


def _amount(name: str, operator: str, value: str, text: str, at: int) -> tuple[Condition, int]:
    """An amount with the currency behind it, if there is one: ``100 EUR``, ``100EUR``, or in one pair of quotes."""
    number = _NUMBER.match(value)
    rest = value[number.end() :].strip() if number else ""
    named = _CURRENCY.match(text, at)
    if not rest and named is not None and named[1].lower() != "and":
        rest, at = named[1], named.end()
    if number is None or (rest and not rest.isalpha()):
        raise refused(f"{name!r} needs a number, with its currency behind it: {name} < 100 EUR; not {value!r}.")
    currency = rest.upper()
    if currency and currency not in money.CURRENCIES:
        raise refused(f"There is no currency {rest!r}: name one by its ISO 4217 code, such as EUR.")
    return Condition(name, operator, Decimal(number[0]), currency), at


def _value(text: str, at: int, field: str) -> tuple[str, int]:
    quoted = _QUOTED.match(text, at)
    if quoted is not None:
        inner = quoted[1] if quoted[1] is not None else quoted[2]
        return re.sub(r"\\(.)", r"\1", inner, flags=re.DOTALL), quoted.end()
    if text[at : at + 1] in ('"', "'"):
        raise refused(f"The quote before {_rest(text, at + 1)} is never closed.")
    bare = _BARE.match(text, at)
    if bare is None:
        raise refused(f"Expected a value for {field!r} at {_rest(text, at)}.")
    return bare[0], bare.end()


def _typed(name: str, field: Field, operator: str, value: str, now: datetime) -> Condition:
    match field.kind:
        case Kind.TEXT:
            if operator == "~" and not value:
                raise refused(f"Everything contains nothing: say what {name!r} has to contain.")
            return Condition(name, operator, value)
        case Kind.CHOICE | Kind.SET:
            return Condition(name, operator, _option(name, field, value))
        case Kind.NUMBER | Kind.MONEY:
            return Condition(name, operator, _number(name, value))
        case Kind.IDENTIFIER:
            if not (value.isascii() and value.isdigit()) or len(value) > 19 or int(value) > _LARGEST:
                raise refused(f"{name!r} needs an id, not {value!r}.")
            return Condition(name, operator, int(value))
        case Kind.FLAG:
            if value.lower() not in _FLAGS:
                raise refused(f"{name!r} is yes or no, not {value!r}.")
            return Condition(name, operator, _FLAGS[value.lower()])
        case Kind.TIME:
            return _time(name, operator, value, now)


def _option(name: str, field: Field, value: str) -> str:
    written = {option.lower(): option for option in field.options}
    if value.lower() in written:
        return written[value.lower()]
    close = get_close_matches(value.lower(), written, n=1, cutoff=0.5)
    more = ", …" if len(field.options) > MOST_NAMED else ""
    meant = (
        f"did you mean {written[close[0]]!r}?"
        if close
        else f"it is one of {', '.join(field.options[:MOST_NAMED])}{more}."
    )
    raise refused(f"{name!r} is never {value!r}; {meant}")


def _number(name: str, value: str) -> Decimal:
    if not _NUMBER.fullmatch(value):
        raise refused(f"{name!r} needs a number, not {value!r}.")
    return Decimal(value)


def _time(name: str, operator: str, value: str, now: datetime) -> Condition:
    try:
        compared = moment(value, now)
    except (ValueError, OverflowError) as error:
        raise refused(f"{name!r} needs an age such as 7d, or a date such as 2026-11-01, not {value!r}.") from error
    # What is younger than an age is later than the moment that it stands for.
    return Condition(name, _MIRRORED[operator] if is_age(value) else operator, compared)


def is_age(value: str) -> bool:
    """Whether a time is told as an age, such as ``7d``."""
    return _AGE.fullmatch(value) is not None


def moment(value: str, now: datetime) -> datetime:
    """The moment (aware) that an age before ``now``, a date or a moment stands for; without a zone it is UTC.

    Raises ValueError and OverflowError.
    """
    age = _AGE.fullmatch(value)
    if age is not None:
        return now - timedelta(seconds=int(age[1]) * _SECONDS[age[2]])
    found = datetime.fromisoformat(value)
    # PostgreSQL does not know every offset that Python does.
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def _example(fields: Mapping[str, Field]) -> str:
    samples = {
        Kind.TIME: "< 7d",
        Kind.NUMBER: "< 1",
        Kind.MONEY: "< 1 EUR",
        Kind.TEXT: "~ free",
        Kind.FLAG: "= no",
        Kind.IDENTIFIER: "= 1",
    }
    shown = [f"{name} {samples[field.kind]}" for name, field in fields.items() if field.kind in samples]
    return " and ".join(shown[:3])


def _spaces(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def _rest(text: str, at: int) -> str:
    return repr(text[at : at + 25]) if at < len(text) else "the end"


def is_storable(text: str) -> bool:
    """Whether PostgreSQL takes the text: no NUL, and no half of a surrogate pair, as odd bytes of a command line become."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def refused(message: str) -> Invalid:
    """What is wrong with the conditions, in a sentence."""
    return Invalid(message, errors=[FieldError("body", "where", "invalid_condition", message)])
