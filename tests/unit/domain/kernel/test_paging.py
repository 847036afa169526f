"""Cursors are opaque, checked and bound to their list; pages know where they are."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace_api.domain.kernel import paging
from marketplace_api.domain.kernel.paging import PageRequest, Position
from marketplace_api.errors import Invalid

LIST = paging.fingerprint("a list")
KINDS = (Decimal, datetime, str, float, int)


@given(
    st.decimals(-999_999, 999_999, places=2),
    st.datetimes(timezones=st.just(UTC)),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=255),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(2**63) + 1, 2**63 - 1),
    st.integers(1, 10**6),
    st.booleans(),
)
def test_a_cursor_comes_back_as_it_went(
    price: Decimal, moment: datetime, title: str, score: float, number: int, page: int, backward: bool
) -> None:
    position = Position((price, moment, title, score, number), page, backward)
    cursor = paging.encode_cursor(position, LIST)
    assert cursor.isascii() and "=" not in cursor
    assert paging.decode_cursor(cursor, LIST, KINDS) == position


def written(*content: Any) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(content)).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "é",
        "%%%",
        "a",
        "bm90IGpzb24",
        written(),
        written(LIST),
        written(LIST, 1),
        written(LIST, 1, 0),
        written("other", 1, 0, 1, "x"),
        written(LIST, 1, 2, 1, "x"),
        written(LIST, "1", 0, 1, "x"),
        written(LIST, 1, 0, "1", "x"),
        written(LIST, 1, 0, True, "x"),
        written(LIST, 1, 0, 1, 2),
        written(LIST, 1, 0, 1, "x", 3),
        written(LIST, 1, 0, 2**63, "x"),
        written(LIST, 1, 0, 1, "a\x00b"),
        written(LIST, 1, 0, 1, None),
        written(LIST, 1, 0, 1, ["x"]),
        base64.b64encode(b'{"a": 1}').decode(),
        "A" * 10_000,
        "W" * 3_999,
    ],
)
def test_whatever_was_not_made_here_is_refused(cursor: str) -> None:
    with pytest.raises(Invalid) as raised:
        paging.decode_cursor(cursor, LIST, (int, str))
    assert raised.value.code == "invalid_cursor"
    assert raised.value.errors[0].location == "querystring"


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (datetime, "2026-01-01"),
        (datetime, "2026-01-01T00:00:00"),
        (datetime, "x"),
        (Decimal, "NaN"),
        (Decimal, "1e99"),
        (Decimal, "x"),
        (float, "1"),
        (float, True),
        (int, 1.0),
        (bool, True),
    ],
)
def test_keys_are_of_their_type(kind: type, value: Any) -> None:
    with pytest.raises(Invalid):
        paging.decode_cursor(written(LIST, 1, 0, value), LIST, (kind,))


def test_lists_have_names_of_their_own() -> None:
    names = {paging.fingerprint(*parts) for parts in ((), ("a",), ("b",), (1,), ("1",), (None,), ({"a": "\ud800"},))}
    assert len(names) == 7


def test_pages_end_where_only_a_cursor_leads_on() -> None:
    assert paging.offset_of(PageRequest(100, 100)) == 9_900
    with pytest.raises(Invalid, match="cursor") as raised:
        paging.offset_of(PageRequest(101, 100))
    assert (raised.value.code, raised.value.errors[0].name) == ("page_too_deep", "page")


def rows(*numbers: int) -> list[Any]:
    return [SimpleNamespace(number=number) for number in numbers]


def assemble(found: list[Any], request: PageRequest, position: Position | None = None, total: int = 50) -> paging.Page:
    return paging.assemble(found, request, position, LIST, lambda row: (row.number,), total=total)


def test_the_extra_row_only_tells_that_there_is_more() -> None:
    first = assemble(rows(1, 2, 3), PageRequest(1, 2))
    assert [row.number for row in first.items] == [1, 2] and first.prev_cursor is None
    assert paging.decode_cursor(first.next_cursor or "", LIST, (int,)) == Position((2,), 2)
    last = assemble(rows(5), PageRequest(3, 2))
    assert last.next_cursor is None
    assert paging.decode_cursor(last.prev_cursor or "", LIST, (int,)) == Position((5,), 2, backward=True)


def test_reading_backward_turns_the_rows_round() -> None:
    page = assemble(rows(4, 3, 2), PageRequest(1, 2), Position((5,), 2, backward=True))
    assert [row.number for row in page.items] == [3, 4] and page.page == 2
    assert page.next_cursor and page.prev_cursor
    start = assemble(rows(2, 1), PageRequest(1, 2), Position((3,), 1, backward=True))
    assert start.prev_cursor is None and start.next_cursor


def test_totals_are_capped() -> None:
    page = assemble(rows(1), PageRequest(1, 10), total=10_000)
    assert (page.total, page.total_is_capped, page.total_pages) == (10_000, False, 1_000)
    page = assemble(rows(1), PageRequest(1, 10), total=920_000)
    assert (page.total, page.total_is_capped) == (10_000, True)
    assert assemble([], PageRequest(), total=0).total_pages == 0
