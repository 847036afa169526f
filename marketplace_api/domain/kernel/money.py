"""Money: amounts are decimals with an ISO 4217 currency; which currencies there are and how many decimals they have."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from babel.core import get_global
from babel.numbers import get_currency_precision

MAX_PRICE = Decimal("9999999999.99")
STORED_DECIMALS = 2


def _current_currencies() -> frozenset[str]:
    """Legal tender somewhere today, from the CLDR that Babel ships (its own list also has what is history)."""
    today = date.today().timetuple()[:3]
    found = set()
    for tenders in get_global("territory_currencies").values():
        for code, _start, end, is_tender in tenders:
            if is_tender and (end is None or tuple(end) > today):
                found.add(code)
    return frozenset(found)


CURRENCIES = _current_currencies()


def decimals(currency: str) -> int:
    """How many decimals an amount in ``currency`` may have: 0 for JPY, 2 for EUR; three are not stored."""
    return min(get_currency_precision(currency), STORED_DECIMALS)


def fits(amount: Decimal, currency: str) -> bool:
    return amount == round(amount, decimals(currency))
