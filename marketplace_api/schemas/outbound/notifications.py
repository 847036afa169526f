"""What may come in about notifications and their preferences, and the names of what goes out."""

from __future__ import annotations

from datetime import time
from functools import cache
from typing import Any
from zoneinfo import available_timezones

from colander import SchemaNode, drop

from marketplace_api.domain.outbound.notifications.types import CHANNELS, KINDS
from marketplace_api.schemas.base import Body, ObjectType, PageQuery, Query, names
from marketplace_api.schemas.catalog.listings import NullableObject
from marketplace_api.schemas.types import Boolean, FromQuery, InvalidField, Nullable, StrictType, Text

NOTIFICATION_FIELDS = (
    "notification_id",
    "user_id",
    "type",
    "related_entity_id",
    "title",
    "content",
    "count",
    "data",
    "is_read",
    "timestamp_created",
    "timestamp_updated",
)
CHANNEL_LABELS = {"in_app": "In the application", "email": "E-mail", "sms": "SMS", "web_push": "Push"}


class ListNotifications(PageQuery):
    """One's own notifications, the latest first."""

    unread = SchemaNode(FromQuery(Boolean()), missing=False, description="Only those that were not read.")
    fields = names(NOTIFICATION_FIELDS, "Only these fields of each notification.")


class ReadNotification(Query):
    """How to show one notification."""

    fields = names(NOTIFICATION_FIELDS, "Only these fields.")


class TimeOfDay(Text):
    """Hours and minutes by the clock, such as ``22:00``."""

    def __init__(self) -> None:
        super().__init__(5, 5, pattern="([01][0-9]|2[0-3]):[0-5][0-9]", hint="Send a time of day such as 22:00.")

    def check(self, node: SchemaNode, value: Any) -> time:  # type: ignore[override]
        return time.fromisoformat(super().check(node, value))


class TimeZone(Text):
    """The name of a time zone in IANA's list, such as ``Europe/Berlin``."""

    def __init__(self) -> None:
        super().__init__(64)

    def check(self, node: SchemaNode, value: Any) -> str:
        name = super().check(node, value)
        if name not in _time_zones():
            raise InvalidField(node, "unknown_time_zone", "Send a name of IANA's list, such as Europe/Berlin.")
        return name


@cache
def _time_zones() -> frozenset[str]:
    return frozenset(available_timezones())


class QuietHours(SchemaNode):
    """When not to be disturbed; ``null`` for never."""

    schema_type = NullableObject
    start = SchemaNode(TimeOfDay(), title="From")
    end = SchemaNode(TimeOfDay(), title="Until", description="May be the next morning.")
    time_zone = SchemaNode(TimeZone(), title="Time zone", description="Such as Europe/Berlin.")


class MergeQuietHours(SchemaNode):
    """Parts of them; what they are together is held to the same, and ``null`` in it is missing."""

    schema_type = NullableObject
    start = SchemaNode(Nullable(TimeOfDay()), missing=drop, title="From")
    end = SchemaNode(Nullable(TimeOfDay()), missing=drop, title="Until", description="May be the next morning.")
    time_zone = SchemaNode(Nullable(TimeZone()), missing=drop, title="Time zone", description="Such as Europe/Berlin.")


class Digest(SchemaNode):
    """Whether e-mails wait for a time of the day and go as one."""

    schema_type = ObjectType
    enabled = SchemaNode(Boolean(), missing=drop, title="One e-mail a day")
    time = SchemaNode(TimeOfDay(), missing=drop, title="At")
    time_zone = SchemaNode(TimeZone(), missing=drop, title="Time zone", description="Such as Europe/Berlin.")


class MergeDigest(SchemaNode):
    """The same; ``null`` is back to the default."""

    schema_type = NullableObject
    enabled = SchemaNode(Nullable(Boolean()), missing=drop, title="One e-mail a day")
    time = SchemaNode(Nullable(TimeOfDay()), missing=drop, title="At")
    time_zone = SchemaNode(Nullable(TimeZone()), missing=drop, title="Time zone", description="Such as Europe/Berlin.")


def _types(group: type[StrictType], choice: StrictType) -> SchemaNode:
    """By type of notification, the channels that it may come by; ``group`` is the type of the objects."""
    return SchemaNode(
        group(),
        *(
            SchemaNode(
                group(),
                *(SchemaNode(choice, name=name, missing=drop, title=CHANNEL_LABELS[name]) for name in CHANNELS),
                name=type.value,
                missing=drop,
                title=kind.label,
            )
            for type, kind in KINDS.items()
        ),
        missing=drop,
        title="What you are told of",
        description="E-mails about your account itself cannot be switched off.",
    )


_QUIET = {
    "missing": drop,
    "title": "Quiet hours",
    "description": "Nothing that makes a sound comes then, but for security.",
}
_DIGEST = {
    "missing": drop,
    "title": "News of the day",
    "description": "E-mails wait for this time and come as one, but for those about your account and its security.",
}


class EditPreferences(Body):
    """What is wanted: what is named takes the place of what there was, and what is not named stays."""

    read_only = frozenset({"user_id", "date_updated"})
    types = _types(ObjectType, Boolean())
    quiet_hours = QuietHours(**_QUIET)
    digest = Digest(**_DIGEST)


class MergePreferences(Body):
    """What is to be another, as a merge patch (RFC 7396): ``null`` is back to the default."""

    read_only = EditPreferences.read_only
    types = _types(NullableObject, Nullable(Boolean()))
    quiet_hours = MergeQuietHours(**_QUIET)
    digest = MergeDigest(**_DIGEST)
