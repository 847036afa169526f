"""What a server asks for that puts us off: ``Retry-After`` (RFC 9110, section 10.2.3)."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import requests

LONGEST_SECONDS = 24 * 3600
"""Nobody makes us wait for longer than a day."""

_DIGITS = 7
"""More than the longest wait has."""


def retry_after(answer: requests.Response) -> int | None:
    """Seconds from now, :data:`LONGEST_SECONDS` at most, whether a number or a date was sent; ``None`` for neither.

    Whoever answers writes what they like into it, so nothing in it may raise.
    """
    asked = answer.headers.get("Retry-After", "").strip()
    if asked.isascii() and asked.isdigit():
        return min(int(asked[:_DIGITS]), LONGEST_SECONDS)
    try:
        moment = parsedate_to_datetime(asked)
    except (ValueError, OverflowError):  # no date, and a year or an offset of more digits than a machine counts by
        return None
    # A date without a zone is one of UTC (RFC 5322, section 3.3).
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return min(max(int((moment - datetime.now(UTC)).total_seconds()), 0), LONGEST_SECONDS)
