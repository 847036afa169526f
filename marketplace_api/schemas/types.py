"""Strict Colander types: JSON values are taken as what they are, never converted from something else.

Every type also describes itself as JSON Schema (``json_schema``), from which OpenAPI and HAL-FORMS are made.
Raised messages are sentences for people; ``InvalidField.code`` is for programs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Context, Decimal, InvalidOperation
from difflib import get_close_matches
from typing import Any

import colander
from email_validator import EmailNotValidError, validate_email
from email_validator.rfc_constants import EMAIL_MAX_LENGTH

from marketplace_api.characters import find_control, folded_lines
from marketplace_api.database.base import BIGINT_MAX

SHOWN = 60  # characters of a caller's value that an error message repeats at most

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # NUL and lone surrogates: PostgreSQL takes neither
_LONGEST_DECIMAL = 40
_EXACT = Context(prec=_LONGEST_DECIMAL)


class InvalidField(colander.Invalid):
    """A Colander error with a stable code."""

    def __init__(self, node: colander.SchemaNode, code: str, message: str) -> None:
        super().__init__(node, message)
        self.code = code


class StrictType(colander.SchemaType):
    """Base: deserializes present values by :meth:`check`; absent ones are Colander's business."""

    def deserialize(self, node: colander.SchemaNode, cstruct: Any) -> Any:
        return colander.null if cstruct is colander.null else self.check(node, cstruct)

    def check(self, node: colander.SchemaNode, value: Any) -> Any:
        raise InvalidField(node, "invalid", "This value cannot be used.")

    def json_schema(self) -> dict[str, Any]:
        return {}


class Text(StrictType):
    """Text without control characters, stripped at both ends, of ``minimum`` to ``maximum`` characters.

    It is one line, in which tabs become spaces, unless it may have ``lines``: then every kind of line break becomes LF.
    With ``strip=False`` it is exact, as passwords and tokens are: nothing is folded, and only what PostgreSQL cannot keep
    is refused.
    """

    def __init__(
        self,
        maximum: int,
        minimum: int = 1,
        *,
        pattern: str | None = None,
        hint: str = "",
        strip: bool = True,
        secret: bool = False,
        lines: bool = False,
    ) -> None:
        self.minimum, self.maximum, self.hint, self.strip, self.secret = minimum, maximum, hint, strip, secret
        self.lines = lines
        self.pattern = pattern
        self._pattern = re.compile(pattern) if pattern else None

    def check(self, node: colander.SchemaNode, value: Any) -> str:
        if not isinstance(value, str):
            raise InvalidField(node, "not_text", "Send text.")
        if _UNSTORABLE.search(value):
            raise InvalidField(node, "invalid_characters", "Remove the NUL or surrogate characters.")
        text = self._folded(node, value) if self.strip else value
        if len(text) < self.minimum:
            message = "This must not be empty." if self.minimum == 1 else f"Use at least {self.minimum} characters."
            raise InvalidField(node, "too_short", message)
        if len(text) > self.maximum:
            raise InvalidField(node, "too_long", f"Use at most {self.maximum} characters; it has {len(text)}.")
        if self._pattern and not self._pattern.fullmatch(text):
            raise InvalidField(node, "wrong_format", self.hint or f"This must match {self.pattern}.")
        return text

    def _folded(self, node: colander.SchemaNode, value: str) -> str:
        """What was meant, in one spelling; raises for controls (C0, C1), and for several lines where there may be one."""
        text = folded_lines(value.strip()).strip()
        if text.isprintable():
            return text
        if control := find_control(text):
            raise InvalidField(node, "invalid_characters", f"Remove the control character {control}.")
        if self.lines:
            return text
        if "\n" in text:
            raise InvalidField(node, "line_break", "Write this on one line: remove the line breaks.")
        return text.replace("\t", " ")

    def json_schema(self) -> dict[str, Any]:
        schema: dict[str, Any] = {"type": "string", "minLength": self.minimum, "maxLength": self.maximum}
        if self.pattern:
            schema["pattern"] = f"^(?:{self.pattern})$"
        if self.secret:
            schema["format"] = "password"
        return schema


class Email(Text):
    """An e-mail address by syntax (RFC 5321, checked by email-validator), its domain in lower case."""

    def __init__(self) -> None:
        super().__init__(EMAIL_MAX_LENGTH, 5)  # a@b.c

    def check(self, node: colander.SchemaNode, value: Any) -> str:
        text = super().check(node, value)
        try:
            # Test domains are syntax like any other; whether mail arrives is what confirmation is for.
            return validate_email(text, check_deliverability=False, test_environment=True).normalized
        except EmailNotValidError as error:
            raise InvalidField(node, "not_an_email", f"This is not an e-mail address: {error}") from error

    def json_schema(self) -> dict[str, Any]:
        return {"type": "string", "format": "email", "minLength": self.minimum, "maxLength": self.maximum}


class Integer(StrictType):
    """A whole number from ``minimum`` to ``maximum``; ``2.0`` and ``true`` are none."""

    def __init__(self, minimum: int = 0, maximum: int = BIGINT_MAX) -> None:
        self.minimum, self.maximum = minimum, maximum

    def check(self, node: colander.SchemaNode, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidField(node, "not_an_integer", "Send a whole number.")
        if not self.minimum <= value <= self.maximum:
            raise InvalidField(node, "out_of_range", f"Send a whole number from {self.minimum} to {self.maximum}.")
        return value

    def json_schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.minimum, "maximum": self.maximum}


class Number(StrictType):
    """A finite decimal; JSON numbers and strings such as ``"19.99"`` are both taken, the latter exactly."""

    def __init__(self, minimum: Decimal | int, maximum: Decimal | int, places: int) -> None:
        self.minimum, self.maximum, self.places = Decimal(minimum), Decimal(maximum), places

    def check(self, node: colander.SchemaNode, value: Any) -> Decimal:
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise InvalidField(node, "not_a_number", "Send a number.")
        number = self._parse(node, value)
        if not self.minimum <= number <= self.maximum:
            raise InvalidField(node, "out_of_range", f"Send a number from {self.minimum} to {self.maximum}.")
        # 0E-99999 is a zero that PostgreSQL has no room for.
        number = number.normalize(_EXACT) if number else Decimal(0)
        exponent = number.as_tuple().exponent
        if isinstance(exponent, int) and -exponent > self.places:
            raise InvalidField(node, "too_precise", f"Use at most {self.places} decimal places.")
        return number

    @staticmethod
    def _parse(node: colander.SchemaNode, value: float | str) -> Decimal:
        if isinstance(value, int):
            return Decimal(value)  # Python refuses to write very long ones as text
        text = str(value)
        if len(text) > _LONGEST_DECIMAL or "_" in text or not text.isascii():
            raise InvalidField(node, "not_a_number", "Send a number.")
        try:
            number = Decimal(text)
        except InvalidOperation as error:
            raise InvalidField(node, "not_a_number", "Send a number.") from error
        if not number.is_finite():
            raise InvalidField(node, "not_a_number", "Send a finite number.")
        return number

    def json_schema(self) -> dict[str, Any]:
        return {
            "type": ["number", "string"],
            "minimum": float(self.minimum),
            "maximum": float(self.maximum),
            "pattern": r"^-?[0-9]+(\.[0-9]+)?$",
            "maxLength": _LONGEST_DECIMAL,
        }


class Boolean(StrictType):
    """``true`` or ``false``, nothing else."""

    def check(self, node: colander.SchemaNode, value: Any) -> bool:
        if not isinstance(value, bool):
            raise InvalidField(node, "not_a_boolean", "Send true or false.")
        return value

    def json_schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


MOST_TOLD = 40
"""Of more choices than these an error names only those that come close."""

LONGEST_GUESSED = 100


class OneOf(StrictType):
    """One of a fixed set of words."""

    def __init__(self, choices: Sequence[str]) -> None:
        self.choices = tuple(choices)

    def check(self, node: colander.SchemaNode, value: Any) -> str:
        if not isinstance(value, str) or value not in self.choices:
            raise InvalidField(node, "not_a_choice", self._meant(value))
        return value

    def _meant(self, value: Any) -> str:
        if len(self.choices) <= MOST_TOLD:
            return f"Send one of: {', '.join(self.choices)}."
        close = get_close_matches(str(value)[:LONGEST_GUESSED], self.choices, n=3)
        like = [choice for choice in self.choices if len(choice) > 1]
        told = f"They look like {like[0]} and {like[-1]}; all of them stand in the reference, /docs."
        hint = f"Did you mean {' or '.join(close)}?" if close else told
        return f"Send one of the {len(self.choices)} values that are known here. {hint}"

    def json_schema(self) -> dict[str, Any]:
        return {"type": "string", "enum": list(self.choices)}


class ListOf(StrictType):
    """A JSON array of ``minimum`` to ``maximum`` values of one type."""

    def __init__(self, item: StrictType, maximum: int, minimum: int = 0, *, unique: bool = False) -> None:
        self.item, self.maximum, self.minimum, self.unique = item, maximum, minimum, unique

    def check(self, node: colander.SchemaNode, value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise InvalidField(node, "not_a_list", "Send a list.")
        if len(value) > self.maximum:
            raise InvalidField(node, "too_many", f"Send at most {self.maximum} values.")
        if len(value) < self.minimum:
            raise InvalidField(node, "too_few", f"Send at least {self.minimum} of them.")
        problems = colander.Invalid(node)
        items = []
        for position, item in enumerate(value):
            part = colander.SchemaNode(self.item, name=str(position))
            try:
                items.append(self.item.check(part, item))
            except colander.Invalid as problem:
                problems.add(problem, position)
        if problems.children:
            raise problems
        return list(dict.fromkeys(items)) if self.unique else items

    def json_schema(self) -> dict[str, Any]:
        fewest = {"minItems": self.minimum} if self.minimum else {}
        return {"type": "array", **fewest, "maxItems": self.maximum, "items": self.item.json_schema()}


class Nullable(StrictType):
    """A value of ``inner`` or ``null``, which clears the field."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def check(self, node: colander.SchemaNode, value: Any) -> Any:
        return None if value is None else self.inner.deserialize(node, value)

    def json_schema(self) -> dict[str, Any]:
        inner = self.inner.json_schema()
        types = inner.get("type", "object")
        nullable = {**inner, "type": [*(types if isinstance(types, list) else [types]), "null"]}
        return {**nullable, "enum": [*inner["enum"], None]} if "enum" in inner else nullable


class Moment(StrictType):
    """An ISO 8601 date and time with an offset (RFC 3339), as UTC."""

    def check(self, node: colander.SchemaNode, value: Any) -> datetime:
        message = "Send a date and time with its offset, such as 2026-03-01T12:00:00Z."
        if not isinstance(value, str) or len(value) > 40:
            raise InvalidField(node, "not_a_moment", message)
        try:
            moment = datetime.fromisoformat(value)
            if moment.tzinfo is None:
                raise InvalidField(node, "not_a_moment", message)
            return moment.astimezone(UTC)
        except (ValueError, OverflowError) as error:
            raise InvalidField(node, "not_a_moment", message) from error

    def json_schema(self) -> dict[str, Any]:
        return {"type": "string", "format": "date-time"}


class FromQuery(StrictType):
    """A query parameter read as text by ``parse`` and then held to ``inner``; '' counts as absent."""

    def __init__(self, inner: StrictType, parse: Callable[[str], Any] | None = None) -> None:
        self.inner, self.parse = inner, parse or _parse_for(inner)

    def deserialize(self, node: colander.SchemaNode, cstruct: Any) -> Any:
        return colander.null if cstruct is colander.null or cstruct == "" else self.check(node, cstruct)

    def check(self, node: colander.SchemaNode, value: Any) -> Any:
        if isinstance(self.inner, Text | ListOf) and isinstance(value, str) and getattr(self.inner, "strip", True):
            # Words to look for may be pasted from a page, with its lines.
            value = folded_lines(value).replace("\n", " ")
        try:
            parsed = self.parse(value) if isinstance(value, str) else value
        except ValueError:
            parsed = value  # the inner type says what it wanted instead
        return self.inner.check(node, parsed)

    def json_schema(self) -> dict[str, Any]:
        schema = self.inner.json_schema()
        if isinstance(self.inner, Number):
            return {"type": "number", "minimum": schema["minimum"], "maximum": schema["maximum"]}
        return schema


def _integer(text: str) -> int:
    if len(text) > 20 or not text.isascii() or not text.removeprefix("-").isdigit():
        raise ValueError(text)
    return int(text)


def _boolean(text: str) -> bool:
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if text.lower() not in words:
        raise ValueError(text)
    return words[text.lower()]


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _parse_for(inner: StrictType) -> Callable[[str], Any]:
    if isinstance(inner, Integer):
        return _integer
    if isinstance(inner, Boolean):
        return _boolean
    if isinstance(inner, ListOf):
        return _words
    return str
