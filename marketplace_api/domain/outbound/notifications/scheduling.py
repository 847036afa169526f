"""When a delivery goes, and whether it still should: quiet hours, digests, and all that may have changed meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from marketplace_api.domain.identity.accounts.queries import LIVING
from marketplace_api.domain.outbound.notifications.preferences import QuietHours, quiet_until
from marketplace_api.domain.outbound.notifications.types import (
    NotificationType,
    by_default,
    is_digested,
    is_fixed,
    is_of_others,
    is_urgent,
)

COLUMNS = """
    person.state, own.quiet_start, own.quiet_end, own.time_zone, coalesce(own.digest_enabled, false) AS digest_enabled,
    own.digest_time, own.digest_zone, choice.enabled, blocked.user_id IS NOT NULL AS is_blocked,
    message.message_id IS NOT NULL AND message.deleted_at IS NULL AND NOT message.is_read
        AND message.message_id > greatest(side.read_through, side.hidden_through) AS message_is_news
"""
JOINS = """
    JOIN users AS person ON person.user_id = note.user_id
    LEFT JOIN notification_preferences AS own ON own.user_id = note.user_id
    LEFT JOIN notification_choices AS choice
        ON choice.user_id = note.user_id AND choice.type = note.type AND choice.channel = note.channel
    LEFT JOIN blocks AS blocked ON blocked.user_id = note.user_id AND blocked.blocked_id = note.actor_id
    LEFT JOIN messages AS message ON message.message_id = note.message_id
"""
"""SQL: what is asked here of a row ``note`` of deliveries with the ``message_id`` that it is about, if any; with the joins
of ``reading``."""

_T = NotificationType
_REVIEWS = (_T.REVIEW_RECEIVED, _T.REVIEW_REPLIED)


def not_before(row: Any, now: datetime) -> datetime | None:
    """When (UTC) a delivery goes that may not go ``now`` (aware): after quiet hours, or with the news of its day.

    What guards the account waits for nothing.
    """
    if is_urgent(row.type):
        return None
    if is_in_digest(row):
        at = _digest_after(row)
        if at > now:
            return at
    quiet = None if row.quiet_start is None else QuietHours(row.quiet_start, row.quiet_end, row.time_zone)
    return quiet_until(quiet, now)


def is_in_digest(row: Any) -> bool:
    """Whether it is an e-mail that goes with others once a day."""
    return row.channel == "email" and row.digest_enabled and is_digested(row.type)


def skip_reason(row: Any) -> str | None:
    """Why a delivery is not to be sent any more, as a code; ``None`` if it is."""
    type = _T(row.type)
    if row.state not in LIVING:
        return "account_gone"
    if row.state == "suspended" and is_of_others(type):
        return "suspended"
    wanted = by_default(type, row.channel) if row.enabled is None else row.enabled
    if not wanted and not is_fixed(type, row.channel):
        return "unwanted"
    if row.is_blocked and not is_urgent(type):
        return "blocked"
    if type == _T.NEW_MESSAGE and not row.message_is_news:
        return "read"
    if type in _REVIEWS and not row.review_is_open:
        return "gone"
    if row.listing_id is not None and type != _T.NEW_MESSAGE and type not in _REVIEWS and not row.listing_is_open:
        return "gone"
    return None


def _digest_after(row: Any) -> datetime:
    """The first time for news after the delivery was made. Where clocks jump over it, it is as much later."""
    zone = ZoneInfo(row.digest_zone)
    made = row.date_created.astimezone(zone)
    at = datetime.combine(made.date(), row.digest_time, zone).astimezone(UTC)
    if at <= row.date_created:
        at = datetime.combine(made.date() + timedelta(days=1), row.digest_time, zone).astimezone(UTC)
    return at
