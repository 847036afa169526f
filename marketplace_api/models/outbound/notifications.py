"""Notifications, what everybody has of them, and what everybody wants of them.

Triggers of the database keep ``notification_boxes``, whoever writes; see the revision that made these tables.
"""

from __future__ import annotations

from datetime import time

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from marketplace_api.database.base import Base, BigId, BigInt, Created, Json, Version

CHANNELS = ("in_app", "email", "sms", "web_push")
SECURITY_TYPES = ("password_changed", "new_login", "account_suspended", "account_reinstated", "email_changed")
"""Types that are about the account itself: their e-mails cannot be switched off."""

_TYPE = "type ~ '^[a-z_]+$'"
_UNREAD = "NOT is_read"
OPEN_GROUP = "NOT is_read AND group_key IS NOT NULL"
"""The rows that one more event of the same group is added to."""


def _listed(values: tuple[str, ...]) -> str:
    return ", ".join(repr(value) for value in values)


class Notification(Base):
    """Something that a person should know of: one event, or ``count`` events of one group that were not yet read.

    What it is about are ids only; names and titles are looked up when it is read. They are no foreign keys: what is
    gone is simply not found. ``event_id`` is the latest event, ``date_updated`` when that was told.
    """

    __tablename__ = "notifications"

    notification_id: Mapped[BigId]
    user_id: Mapped[BigInt] = mapped_column(sa.ForeignKey("users.user_id", ondelete="CASCADE"))
    type: Mapped[str] = mapped_column(sa.String(50))
    group_key: Mapped[str | None] = mapped_column(sa.String(100))
    count: Mapped[int] = mapped_column(server_default=sa.text("1"))
    event_id: Mapped[BigInt]
    actor_id: Mapped[BigInt | None]
    listing_id: Mapped[BigInt | None]
    conversation_id: Mapped[BigInt | None]
    review_id: Mapped[BigInt | None]
    session_id: Mapped[BigInt | None]
    data: Mapped[Json] = mapped_column(server_default=sa.text("'{}'"))
    is_read: Mapped[bool] = mapped_column(server_default=sa.false())
    date_created: Mapped[Created]
    date_updated: Mapped[Created]

    __table_args__ = (
        sa.CheckConstraint(_TYPE, "type"),
        sa.CheckConstraint("count > 0", "count"),
        sa.CheckConstraint("user_id <> actor_id", "not_of_oneself"),
        sa.CheckConstraint("jsonb_typeof(data) = 'object'", "data"),
        sa.Index(
            "uq_notifications_open_group", "user_id", "group_key", unique=True, postgresql_where=sa.text(OPEN_GROUP)
        ),
        sa.Index("ix_notifications_list", "user_id", "date_updated", "notification_id"),
        sa.Index(
            "ix_notifications_unread", "user_id", "date_updated", "notification_id", postgresql_where=sa.text(_UNREAD)
        ),
        sa.Index("ix_notifications_read", "date_updated", postgresql_where=sa.text("is_read")),
        sa.Index("ix_notifications_stale", "date_updated", postgresql_where=sa.text(_UNREAD)),
    )


class NotificationBox(Base):
    """How many notifications a person has, so that none needs to be counted."""

    __tablename__ = "notification_boxes"

    user_id: Mapped[BigInt] = mapped_column(
        sa.ForeignKey("users.user_id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    total_count: Mapped[int] = mapped_column(server_default=sa.text("0"))
    unread_count: Mapped[int] = mapped_column(server_default=sa.text("0"))

    __table_args__ = (sa.CheckConstraint("unread_count BETWEEN 0 AND total_count", "counts"),)


class NotifiedEvent(Base):
    """An event that notifications of this type were made of, so that none is made twice.

    Where many are told, ``through_id`` is the last account that was, and ``is_done`` says that nobody is left.
    """

    __tablename__ = "notified_events"

    event_id: Mapped[BigInt] = mapped_column(primary_key=True, autoincrement=False)
    type: Mapped[str] = mapped_column(sa.String(50), primary_key=True)
    through_id: Mapped[BigInt] = mapped_column(server_default=sa.text("0"))
    is_done: Mapped[bool] = mapped_column(server_default=sa.true())
    date_created: Mapped[Created]


class NotificationPreferences(Base):
    """When a person does not want to be disturbed: from ``quiet_start`` to ``quiet_end`` by the clocks of ``time_zone``; and
    whether e-mails are gathered until ``digest_time`` of every day by the clocks of ``digest_zone``.

    A row is there once something was chosen; ``version`` counts the changes, those of the choices as well.
    """

    __tablename__ = "notification_preferences"

    user_id: Mapped[BigInt] = mapped_column(
        sa.ForeignKey("users.user_id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    quiet_start: Mapped[time | None] = mapped_column(sa.Time)
    quiet_end: Mapped[time | None] = mapped_column(sa.Time)
    time_zone: Mapped[str] = mapped_column(sa.String(64), server_default="UTC")
    digest_enabled: Mapped[bool] = mapped_column(server_default=sa.false())
    digest_time: Mapped[time] = mapped_column(sa.Time, server_default="08:00")
    digest_zone: Mapped[str] = mapped_column(sa.String(64), server_default="UTC")
    date_updated: Mapped[Created]
    version: Mapped[Version]

    __table_args__ = (
        sa.CheckConstraint("(quiet_start IS NULL) = (quiet_end IS NULL)", "quiet_both"),
        sa.CheckConstraint("quiet_start <> quiet_end", "quiet_some_time"),
    )


class NotificationChoice(Base):
    """Whether a person wants notifications of a type by a channel, where that is not the default."""

    __tablename__ = "notification_choices"

    user_id: Mapped[BigInt] = mapped_column(
        sa.ForeignKey("users.user_id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    type: Mapped[str] = mapped_column(sa.String(50), primary_key=True)
    channel: Mapped[str] = mapped_column(sa.String(20), primary_key=True)
    enabled: Mapped[bool]

    __table_args__ = (
        sa.CheckConstraint(_TYPE, "type"),
        sa.CheckConstraint(f"channel IN ({_listed(CHANNELS)})", "channel"),
        sa.CheckConstraint(
            f"enabled OR channel <> 'email' OR type NOT IN ({_listed(SECURITY_TYPES)})", "security_by_email"
        ),
    )
