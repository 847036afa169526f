"""One way to ask for a part of a list, one shape for the answer, and the cursors that lead from part to part."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, InvalidOperation
from math import isfinite
from typing import Any

import orjson

from marketplace_api.database.base import BIGINT_MAX
from marketplace_api.errors import FieldError, Invalid

TOTAL_CAP = 10_000
"""Totals are exact up to here; counting on would cost more than anyone gains."""

_LONGEST_CURSOR = 4_000


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which part: a page number from 1, or the opaque ``cursor`` of an earlier answer; ``limit`` is 1 to 100."""

    page: int = 1
    limit: int = 10
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One part of a list. ``total`` is at most :data:`TOTAL_CAP`; ``facets`` only where they were asked for."""

    items: Sequence[Any]
    page: int
    limit: int
    total: int
    total_is_capped: bool = False
    next_cursor: str | None = None
    prev_cursor: str | None = None
    facets: Mapping[str, Any] = field(default_factory=dict)

    @property
    def total_pages(self) -> int:
        return -(-self.total // self.limit)


@dataclass(frozen=True, slots=True)
class Position:
    """A place in an ordered list: the sort keys of the row beside it, the direction to read from there, and the
    number of the page that is read."""

    keys: tuple[Any, ...]
    page: int
    backward: bool = False


def fingerprint(*parts: Any) -> str:
    """A short hash of the list (filters and order) that a cursor belongs to."""
    return hashlib.blake2b(repr(parts).encode("utf-8", "backslashreplace"), digest_size=6).hexdigest()


def encode_cursor(position: Position, list_hash: str) -> str:
    """The opaque form of ``position`` in the list that ``list_hash`` names."""
    content = [list_hash, position.page, int(position.backward), *position.keys]
    return base64.urlsafe_b64encode(orjson.dumps(content, default=str)).rstrip(b"=").decode()


def decode_cursor(cursor: str, list_hash: str, kinds: Sequence[type]) -> Position:
    """Where ``cursor`` points to; its keys must be of ``kinds`` (int, float, str, Decimal, datetime).

    Raises ``Invalid`` with the code ``invalid_cursor`` for whatever :func:`encode_cursor` did not make for this list.
    """
    try:
        return _decoded(cursor, list_hash, kinds)
    except (ValueError, TypeError, InvalidOperation, OverflowError) as error:
        message = "This cursor does not belong to this list. Start again without it."
        problem = FieldError("querystring", "cursor", "invalid_cursor", message)
        raise Invalid(message, code="invalid_cursor", errors=[problem]) from error


def _decoded(cursor: str, list_hash: str, kinds: Sequence[type]) -> Position:
    if len(cursor) > _LONGEST_CURSOR:
        raise ValueError("too long")
    content = orjson.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    if not isinstance(content, list):
        raise TypeError("not a list")
    found_hash, page, backward, *keys = content
    if found_hash != list_hash or backward not in (0, 1) or len(keys) != len(kinds):
        raise ValueError("of another list")
    return Position(
        tuple(_key(key, kind) for key, kind in zip(keys, kinds, strict=True)), max(1, _key(page, int)), bool(backward)
    )


def _key(value: Any, kind: type) -> Any:
    """``value`` as it came out of JSON, as a ``kind``."""
    if kind is int and type(value) is int and -BIGINT_MAX <= value <= BIGINT_MAX:
        return value
    if kind is float and type(value) in (int, float) and isfinite(value):
        return float(value)
    if isinstance(value, str) and len(value) <= 1_000 and "\x00" not in value:
        if kind is str:
            return value
        if kind is datetime and (moment := datetime.fromisoformat(value)).tzinfo is not None:
            return moment
        if kind is Decimal and (number := Decimal(value)).is_finite() and abs(number) < 10**12:
            return number
    raise ValueError("a key of another type")


def offset_of(request: PageRequest) -> int:
    """How many rows lie before the page; raises ``Invalid`` (``page_too_deep``) where only a cursor leads on."""
    if request.page * request.limit > TOTAL_CAP:
        message = f"Pages end at {TOTAL_CAP} items. Follow the next link (a cursor) to go deeper."
        problem = FieldError("querystring", "page", "page_too_deep", message)
        raise Invalid(message, code="page_too_deep", errors=[problem])
    return (request.page - 1) * request.limit


def assemble(
    rows: Sequence[Any],
    request: PageRequest,
    position: Position | None,
    list_hash: str,
    keys_of: Callable[[Any], tuple[Any, ...]],
    *,
    total: int,
    facets: Mapping[str, Any] | None = None,
) -> Page:
    """The page that ``rows`` make: up to ``limit + 1`` of them, in reading order (reversed when reading backward).

    The extra row only tells that the list goes on. ``total`` may exceed :data:`TOTAL_CAP` by any amount.
    """
    number = position.page if position else request.page
    backward = position is not None and position.backward
    more = len(rows) > request.limit
    items = list(rows[: request.limit])
    if backward:
        items.reverse()
    following = prior = None
    if items and (more or backward):
        following = encode_cursor(Position(keys_of(items[-1]), number + 1), list_hash)
    if items and (more if backward else number > 1):
        prior = encode_cursor(Position(keys_of(items[0]), max(1, number - 1), backward=True), list_hash)
    return Page(items, number, request.limit, min(total, TOTAL_CAP), total > TOTAL_CAP, following, prior, facets or {})
