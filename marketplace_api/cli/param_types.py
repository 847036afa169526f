"""What options take beyond words and numbers: reasons as the API asks for them, and times."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import rich_click as click

from marketplace_api.characters import visible_lines
from marketplace_api.cli.exit_codes import Refused

if TYPE_CHECKING:
    from marketplace_api.schemas.types import Text


class AsInApi(click.ParamType[str, Any]):
    """Text that the API's own schema reads: ``load`` imports it, when a value comes."""

    name = "text"

    def __init__(self, load: Callable[[], Text]) -> None:
        self.load = load

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        import colander

        schema = self.load()
        try:
            return schema.check(colander.SchemaNode(schema), value)
        except colander.Invalid as problem:
            self.fail(str(problem.msg), param, ctx)


def _reason() -> Text:
    from marketplace_api.schemas.identity.account_admin import REASON

    return REASON


class _Moment(click.ParamType[datetime, Any]):
    """A time, as conditions take it: a date, a date with a time (UTC unless it has an offset), or an age such as 7d.

    An age counts from now, into the future or into the past.
    """

    name = "when"

    def __init__(self, *, ahead: bool) -> None:
        self.ahead = ahead

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        from marketplace_api.domain.kernel.filters import is_age, moment

        if isinstance(value, datetime):
            return value
        now = datetime.now(UTC)
        try:
            found = moment(str(value), now)
            return now + (now - found) if self.ahead and is_age(value) else found
        except (ValueError, OverflowError):
            example = "2027-01-31" if self.ahead else "2026-11-01"
            self.fail(f"{value!r} is neither a date such as {example} nor a span of time such as 7d.", param, ctx)


def require_span(since: datetime | None, until: datetime | None) -> None:
    """Raises Refused where the time from ``since`` to ``until`` (aware) ends before it begins."""
    if since is not None and until is not None and until <= since:
        raise Refused(
            f"--until ({until:%Y-%m-%d %H:%M} UTC) must be later than --since ({since:%Y-%m-%d %H:%M} UTC). Ages count back "
            "from now: the hour that ended an hour ago is --since 2h --until 1h."
        )


def asked_reason(given: str | None, question: str) -> str:
    """The reason of an act that leaves a mark; asked for on a terminal. Raises Refused where nobody could answer."""
    if given is not None:
        return given
    if not sys.stdin.isatty():
        raise Refused("Say why with --reason; it goes into the audit trail.")
    told: str = click.prompt(visible_lines(question), type=REASON, err=True)
    return told


def _batch_reason() -> Text:
    from marketplace_api.schemas.types import Text

    # How long it may be is said by the domain, which knows what it is for.
    return Text(sys.maxsize, 0, lines=True)


REASON = AsInApi(_reason)
BATCH_REASON = AsInApi(_batch_reason)
UNTIL = _Moment(ahead=True)
SINCE = _Moment(ahead=False)
