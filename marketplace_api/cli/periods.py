"""Times on the command line: a date, a moment, or an age."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import rich_click as click


class Moment(click.ParamType[datetime]):
    """An age such as ``30d``, a date or a moment, as an aware datetime; without a zone it is UTC."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        from marketplace_api.domain.moderation.where import moment

        try:
            return moment(str(value), datetime.now(UTC))
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is neither an age such as 30d or 12h nor a date such as 2026-11-01.", param, ctx)


MOMENT = Moment()
