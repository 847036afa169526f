"""Amounts in conditions: ten of one currency are not ten of another. And names, which are the same in any case."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from sqlalchemy.orm import Session

from marketplace_api.domain.kernel.filters import parse
from marketplace_api.domain.trust.moderation.targets import TARGETS
from marketplace_api.errors import Invalid
from tests.factories.accounts import make_user
from tests.factories.listings import make_listing
from tests.unit.domain.trust.test_batches import matched


def test_amounts_are_compared_in_their_currency(db: Session) -> None:
    owner = make_user(db)
    euro, yen, gift = (
        make_listing(db, owner, price=price, currency=currency).listing_id
        for price, currency in ((20, "EUR"), (500, "JPY"), (0, "USD"))
    )
    for where, found in (
        ("price < 30 EUR", {euro}),
        ("price<30eur", {euro}),
        ("price < '30 EUR' and photos = 0", {euro}),
        ("price > 30 JPY and title != x", {yen}),
        ("price != 20 EUR", set()),
        ("price != 9 EUR", {euro}),
        ("price = 0", {gift}),
        ("price > 0", {euro, yen}),
        ("price > 30 and currency = JPY", {yen}),
        ("price < 20", {gift}),
    ):
        assert matched(db, "listings", where) == found, where
    told = (
        "`price >= 20` would compare amounts of different currencies (1 in EUR, 1 in JPY): name one, `price >= 20 EUR`."
    )
    with pytest.raises(Invalid, match=re.escape(told)):
        matched(db, "listings", "price >= 20")


def test_what_is_no_amount_is_explained() -> None:
    fields, now = TARGETS["listings"].fields, datetime.now(UTC)
    assert parse("price < 1 and title ~ eur", fields, now)[0].value == Decimal(1)
    for where, told in (
        ("price < 1 EUX", "There is no currency 'EUX'"),
        ("price < EUR", "needs a number, with its currency behind it"),
        ("price < 1e5", "needs a number"),
        ("price < 1 EUR EUR", "Expected `and`"),
        ("price < 1 euros", "Expected `and`"),
        ("currency = euro", "did you mean 'EUR'?"),
        ("currency = 1", "it is one of AED"),
    ):
        with pytest.raises(Invalid, match=re.escape(told)):
            parse(where, fields, now)


def test_names_are_the_same_in_any_case(db: Session) -> None:
    one, other = make_user(db, username="Ada", email="Ada@Example.org"), make_user(db)
    assert matched(db, "users", "username = ADA and email = ada@example.ORG") == {one.user_id}
    assert matched(db, "users", "username != aDA") == {other.user_id}
