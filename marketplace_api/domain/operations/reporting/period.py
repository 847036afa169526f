"""The time that figures are about, and the days or weeks (from Monday) that it is divided into, in UTC."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from marketplace_api.errors import FieldError, Invalid

UNITS = ("day", "week")
MOST_DAYS = 62
"""Longer periods are told by weeks unless somebody asks for days."""

LONGEST = timedelta(days=3_660)


@dataclass(frozen=True, slots=True)
class Period:
    """From ``since`` to before ``until`` (aware), told by ``unit``, one of :data:`UNITS`."""

    since: datetime
    until: datetime
    unit: str

    @property
    def values(self) -> Mapping[str, Any]:
        """Parameters of the statements: ``since``, ``until`` and ``unit``."""
        return {"since": self.since, "until": self.until, "unit": self.unit}

    def asdict(self) -> dict[str, Any]:
        return dict(self.values)

    def series(self, counted: Iterable[tuple[date | None, int]]) -> list[dict[str, Any]]:
        """``date`` and ``count`` of every day or week in the period; what was not counted is 0."""
        numbers: dict[date, int] = {}
        for day, number in counted:
            if day is not None:
                numbers[day] = numbers.get(day, 0) + number
        step = timedelta(days=7 if self.unit == "week" else 1)
        day = self.since.astimezone(UTC).date()
        day -= timedelta(days=day.weekday() if self.unit == "week" else 0)
        found = []
        while datetime(day.year, day.month, day.day, tzinfo=UTC) < self.until:
            found.append({"date": day.isoformat(), "count": numbers.get(day, 0)})
            day += step
        return found


def make(since: datetime, until: datetime, unit: str | None = None) -> Period:
    """The period; without a ``unit`` days, or weeks where that would be many. Raises Invalid for one that is none."""
    if until <= since or until - since > LONGEST:
        message = "The period must end after it begins, and not more than ten years later."
        raise Invalid(message, errors=[FieldError("querystring", "since", "invalid_period", message)])
    return Period(since, until, unit or ("day" if until - since <= timedelta(days=MOST_DAYS) else "week"))


def bucket(column: str) -> str:
    """SQL: the day or week of a time in the period, NULL outside of it."""
    day = f"date_trunc(:unit, {column} AT TIME ZONE 'UTC')::date"
    return f"CASE WHEN {column} >= :since AND {column} < :until THEN {day} END".replace("::date", "\\:\\:date")
