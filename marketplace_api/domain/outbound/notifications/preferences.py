"""What people want to be told of, by which channel, and when not to be disturbed.

Only what differs from the defaults is stored, so that better defaults reach all who never chose. :func:`wants` is the one
answer to whether something may be sent; :data:`WANTED` is the same for statements about many people.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from dataclasses import fields as fields_of
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from marketplace_api.database.prepared import Reader
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.kernel.events import EventType, record
from marketplace_api.domain.outbound.notifications.types import CHANNELS, KINDS, NotificationType, by_default, is_fixed
from marketplace_api.errors import FieldError, Invalid, PreconditionFailed
from marketplace_api.models.outbound.notifications import NotificationChoice, NotificationPreferences


def wanted(type: str = "CAST(:type AS text)", channel: str = ":channel", by_default: str = ":by_default") -> str:
    """SQL: whether the row ``person`` wants notifications of a type by a channel; each an expression."""
    choice = "SELECT choice.enabled FROM notification_choices AS choice WHERE choice.user_id = person.user_id"
    return f"coalesce(({choice} AND choice.type = {type} AND choice.channel = {channel}), {by_default})"


WANTED = wanted()
"""The same for ``:type`` and ``:channel``; see :func:`wanting`."""

_WANTS = sa.text(f"SELECT {WANTED} FROM (SELECT CAST(:user_id AS bigint) AS user_id) AS person")  # noqa: S608  a constant
_FIND = sa.text(
    """
    SELECT person.user_id, own.quiet_start, own.quiet_end, coalesce(own.time_zone, 'UTC') AS time_zone,
        coalesce(own.digest_enabled, false) AS digest_enabled, coalesce(own.digest_time, '08:00') AS digest_time,
        coalesce(own.digest_zone, 'UTC') AS digest_zone, own.date_updated, coalesce(own.version, 1) AS version,
        (
            SELECT coalesce(jsonb_agg(jsonb_build_array(type, channel, enabled)), '[]')
            FROM notification_choices AS choice WHERE choice.user_id = person.user_id
        ) AS choices
    FROM (SELECT CAST(:user_id AS bigint) AS user_id) AS person
    LEFT JOIN notification_preferences AS own USING (user_id)
    """
)


@dataclass(frozen=True, slots=True)
class QuietHours:
    """From ``start`` to ``end`` every day by the clocks of ``time_zone`` (IANA), also past midnight."""

    start: time
    end: time
    time_zone: str


@dataclass(frozen=True, slots=True)
class Digest:
    """Whether e-mails wait and go as one, every day at ``time`` by the clocks of ``time_zone`` (IANA)."""

    enabled: bool
    time: time
    time_zone: str


NO_DIGEST = Digest(enabled=False, time=time(8), time_zone="UTC")
"""Of those who chose nothing."""


@dataclass(frozen=True, slots=True)
class Preferences:
    """All that a person chose, filled up with the defaults: ``types`` by type and channel."""

    user_id: int
    types: Mapping[str, Mapping[str, bool]]
    quiet_hours: QuietHours | None
    digest: Digest
    date_updated: datetime | None
    version: int


def wanting(type: NotificationType, channel: str) -> dict[str, Any]:
    """The parameters of :data:`WANTED`."""
    return {"type": type.value, "channel": channel, "by_default": by_default(type, channel)}


def wants(db: Reader, user_id: int, type: NotificationType, channel: str) -> bool:
    """Whether a person is to be told of ``type`` by ``channel`` (one of ``CHANNELS``); what is fixed is always sent."""
    if is_fixed(type, channel):
        return True
    return bool(db.execute(_WANTS, {"user_id": user_id, **wanting(type, channel)}).scalar_one())


def quiet_until(hours: QuietHours | None, moment: datetime) -> datetime | None:
    """When ``hours`` that ``moment`` (aware) lies in are over (UTC), which is later; ``None`` if it lies in none.

    What would make a sound waits until then; security notices do not.
    """
    if hours is None:
        return None
    here = moment.astimezone(ZoneInfo(hours.time_zone))
    now = here.time()
    past_midnight = hours.start > hours.end
    inside = (now >= hours.start or now < hours.end) if past_midnight else hours.start <= now < hours.end
    if not inside:
        return None
    day = here.date() + timedelta(days=1) if past_midnight and now >= hours.start else here.date()
    end = datetime.combine(day, hours.end, here.tzinfo)
    # Where the clocks are set back they show the end twice, and in between it is not the first time that is meant.
    return next((at for at in (end.astimezone(UTC), end.replace(fold=1).astimezone(UTC)) if at > moment), None)


def find(db: Reader, user_id: int) -> Preferences:
    """The preferences of an account; those of one that chose nothing are the defaults, in version 1."""
    row = db.execute(_FIND, {"user_id": user_id}).one()
    chosen: defaultdict[str, dict[str, bool]] = defaultdict(dict)
    for type, channel, enabled in row.choices:
        chosen[type][channel] = enabled
    types = _filled_up(chosen)
    quiet = None if row.quiet_start is None else QuietHours(row.quiet_start, row.quiet_end, row.time_zone)
    digest = Digest(row.digest_enabled, row.digest_time, row.digest_zone)
    return Preferences(user_id, types, quiet, digest, row.date_updated, row.version)


def change(
    session: Session,
    actor: Actor,
    *,
    changes: Mapping[str, Any],
    expected_version: int | None = None,
    merge: bool = True,
) -> Preferences:
    """Change the actor's preferences: ``types`` (type to channel to whether), ``quiet_hours`` (the fields of
    :class:`QuietHours`, or ``None`` for none), ``digest`` (the fields of :class:`Digest`).

    With ``merge`` that is a merge patch (RFC 7396): what is not named stays, and ``None`` is back to the default. Without
    it each of these three that is named is replaced, the defaults taking the place of what is not named in it. What
    changes nothing leaves no trace.

    Raises Invalid for the e-mails of security notices (``cannot_be_switched_off``), for quiet hours of which a part is
    missing (``required``) or that have no length (``no_time_at_all``), and PreconditionFailed.
    """
    user_id = actor.user_id or 0
    _require_possible(changes.get("types") or {})
    session.execute(postgresql.insert(NotificationPreferences).values(user_id=user_id).on_conflict_do_nothing())
    mine = sa.select(NotificationPreferences.version).where(NotificationPreferences.user_id == user_id)
    version = session.execute(mine.with_for_update()).scalar_one()
    if expected_version is not None and version != expected_version:
        raise PreconditionFailed("They changed since you read them; `current` shows what they are now.")
    before = find(session, user_id)
    hours = None if before.quiet_hours is None else asdict(before.quiet_hours)
    present = {"types": before.types, "quiet_hours": hours, "digest": asdict(before.digest)}
    after = _merged(present, changes) if merge else {**present, **changes}
    different = {
        (type, channel): enabled
        for type, channels in _filled_up(after.get("types", {})).items()
        for channel, enabled in channels.items()
        if before.types[type][channel] != enabled
    }
    quiet, digest = _quiet_hours(after.get("quiet_hours")), replace(NO_DIGEST, **after.get("digest", {}))
    fields = [f"{type}.{channel}" for type, channel in different]
    fields += ["quiet_hours"] if quiet != before.quiet_hours else []
    fields += ["digest"] if digest != before.digest else []
    if not fields:
        return before
    _choose(session, user_id, different)
    _set_hours(session, user_id, quiet, digest)
    record(session, actor, EventType.USER_PREFERENCES_CHANGED, user_id, new={"fields": sorted(fields)})
    return find(session, user_id)


def _merged(present: Mapping[str, Any] | None, patch: Mapping[str, Any]) -> dict[str, Any]:
    """What a merge patch makes of an object (RFC 7396)."""
    merged = dict(present or {})
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merged(merged.get(name), value) if isinstance(value, Mapping) else value
    return merged


def _quiet_hours(parts: Mapping[str, Any] | None) -> QuietHours | None:
    if parts is None:
        return None
    missing = [part.name for part in fields_of(QuietHours) if part.name not in parts]
    if missing:
        told = "Quiet hours need all of start, end and time_zone; `quiet_hours` itself as null means none."
        raise Invalid(told, errors=[FieldError("body", f"quiet_hours.{name}", "required", told) for name in missing])
    hours = QuietHours(**parts)
    if hours.start == hours.end:
        told = "Choose two different times."
        raise Invalid(told, errors=[FieldError("body", "quiet_hours", "no_time_at_all", told)])
    return hours


def _filled_up(chosen: Mapping[str, Mapping[str, bool]]) -> Mapping[str, Mapping[str, bool]]:
    """All types and channels: those that were chosen, and the defaults."""
    return {
        type.value: {channel: by_default(type, channel) for channel in CHANNELS} | dict(chosen.get(type.value, {}))
        for type in KINDS
    }


def _require_possible(chosen: Mapping[str, Mapping[str, bool | None] | None]) -> None:
    errors = [
        FieldError(
            "body",
            f"types.{type}.{channel}",
            "cannot_be_switched_off",
            "This is about your account itself; it stays on.",
        )
        for type, channels in chosen.items()
        for channel, enabled in (channels or {}).items()
        if enabled is False and is_fixed(type, channel)
    ]
    if errors:
        raise Invalid("E-mails about your account itself cannot be switched off.", errors=errors)


def _choose(session: Session, user_id: int, different: Mapping[tuple[str, str], bool]) -> None:
    """Keep what is not the default, and forget what is again."""
    for (type, channel), enabled in different.items():
        if enabled == by_default(NotificationType(type), channel):
            key = {"user_id": user_id, "type": type, "channel": channel}
            session.execute(
                sa.delete(NotificationChoice).filter_by(**key), execution_options={"synchronize_session": False}
            )
            continue
        made = postgresql.insert(NotificationChoice).values(
            user_id=user_id, type=type, channel=channel, enabled=enabled
        )
        session.execute(
            made.on_conflict_do_update(
                index_elements=["user_id", "type", "channel"], set_={"enabled": made.excluded.enabled}
            )
        )


def _set_hours(session: Session, user_id: int, quiet: QuietHours | None, digest: Digest) -> None:
    hours: dict[str, Any] = {"quiet_start": None, "quiet_end": None}
    if quiet is not None:
        hours = {"quiet_start": quiet.start, "quiet_end": quiet.end, "time_zone": quiet.time_zone}
    hours |= {"digest_enabled": digest.enabled, "digest_time": digest.time, "digest_zone": digest.time_zone}
    statement = sa.update(NotificationPreferences).where(NotificationPreferences.user_id == user_id)
    session.execute(
        statement.values(**hours, date_updated=sa.func.now(), version=NotificationPreferences.version + 1),
        execution_options={"synchronize_session": False},
    )
