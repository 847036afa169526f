"""Whatever is typed as a condition reaches the database as a value that it can hold and compare, or is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from marketplace_api.domain.kernel.actors import operator
from marketplace_api.domain.kernel.filters import OPERATORS, parse
from marketplace_api.domain.trust.moderation import batches
from marketplace_api.domain.trust.moderation.targets import TARGETS
from marketplace_api.errors import Invalid
from tests.factories.accounts import make_user
from tests.factories.listings import make_listing
from tests.unit.domain.trust.test_batches import BOSS, begin, matched, run

VALUES = (
    "9223372036854775807",
    "-9223372036854775807.99999999999999999999",
    "0.00000000000000000001",
    "32768",
    "2147483648",
    "'; drop table listings; --",
    "%",
    "_",
    "/",
    "\\\\",
    "/%",
    "𝔘𝔫𝔦",
    "e\u0301",
    "\u202e",
    "\ufeff",
    "x" * 1500,
    "$1",
    ":a",
    "%(a)s",
    "{}",
    "0001-01-01",
    "9999-12-31T23:59:59.999999Z",
    "2026-11-01T00:00+23:59",
    "2026-11-01T00:00-15:59:59.5",
    "105000w",
    "0s",
    "true",
    "active",
    "deleted",
    "customer",
    "published",
    "1",
)


@pytest.mark.parametrize("target", TARGETS)
def test_no_value_of_any_kind_breaks_a_statement(db: Session, target: str) -> None:
    known = TARGETS[target]
    for name, field in known.fields.items():
        for operator_ in OPERATORS[field.kind]:
            for value in VALUES:
                quoted = '"' + value.replace("\\", "\\\\") + '"'
                try:
                    conditions = parse(f"{name} {operator_} {quoted}", known.fields, datetime.now(UTC))
                    batches.preview(db, BOSS, known, known.actions[-1], conditions)
                except Invalid as error:
                    assert error.errors[0].name == "where"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(min_size=1, max_size=20))
def test_any_text_is_compared_and_not_run(db: Session, text: str) -> None:
    known = TARGETS["listings"]
    quoted = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    for operator_ in ("=", "!=", "~"):
        try:
            conditions = parse(f"title {operator_} {quoted}", known.fields, datetime.now(UTC))
        except Invalid:
            assert "\0" in text
        else:
            batches.preview(db, BOSS, known, known.actions[-1], conditions)


def test_a_value_that_no_column_holds_equals_nothing(db: Session) -> None:
    owner = make_user(db)
    one = make_listing(db, owner, title="100%_/\\ 'off'", price="2.50", currency="USD").listing_id
    for where, found in (
        ("currency = usd", {one}),
        ("currency != EUR", {one}),
        ("price = 2.504", set()),
        ("price < 2.504", {one}),
        ("price <= 2.4999", set()),
        ("photos < 99999", {one}),
        ("photos = 0.4", set()),
        ("ratings > -0.5", {one}),
        ("ratings < 9000000000", {one}),
        (f"title = '{'x' * 1000}'", set()),
        ("title ~ '%_/'", {one}),
        ("title ~ '0_%'", set()),
        ("title ~ '%%'", set()),
        (r'title ~ "_/\\ \'off"', {one}),
        ("created < 100000d", {one}),
        ("created > 2026-01-01T00:00+15:59", {one}),
    ):
        assert matched(db, "listings", where) == found, where


@pytest.mark.parametrize("reason", ["a\0b", "bad \udcff byte", "\n\t "])
def test_reasons_are_text_too(db: Session, reason: str) -> None:
    owner = make_user(db)
    with pytest.raises(Invalid, match="reason"):
        begin(db, "listings", "suspend", f"user_id = {owner.user_id}", reason=reason)
    batch_id = run(db, "listings", "suspend", f"user_id = {owner.user_id}", BOSS)
    with pytest.raises(Invalid, match="reason"):
        batches.begin_undo(db, operator("tester", reason, "run-2"), batch_id)
    assert batches.find(db, batch_id).state == "done"


def test_a_long_conjunction_is_carried_out(db: Session) -> None:
    owner = make_user(db)
    one: Any = make_listing(db, owner).listing_id
    assert matched(db, "listings", " and ".join([f"listing_id = {one}"] * 20)) == {one}
