"""What options take as a point in time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import rich_click as click


class Time(click.ParamType[datetime]):
    """A past time: an age such as 90s, 30m, 2h, 7d or 4w, a date, or a date with a time (UTC unless it has an offset)."""

    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        from marketplace_api.domain.moderation.where import Field, Kind, parse
        from marketplace_api.errors import Invalid

        try:
            (condition,) = parse(f"when < '{value}'", {"when": Field(Kind.TIME)}, datetime.now(UTC))
        except (Invalid, ValueError, OverflowError):
            self.fail(f"{value!r} is neither an age such as 7d nor a date such as 2026-11-01.", param, ctx)
        moment: datetime = condition.value
        return moment


TIME = Time()
