"""Outbound notifications, by e-mail, SMS or web push: schedule, queue and log in one."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from marketplace_api.database.base import Base, BigId, BigInt, Created, Json, Timestamp

CHANNELS = ("email", "sms", "web_push")
STATUSES = ("due", "sent", "delivered", "skipped", "failed")

_DUE = "status = 'due'"


class Delivery(Base):
    """One event told to one person by one channel, or about to be.

    It is tried from ``due_at`` on, and ``attempts`` counts how often that failed. ``error`` is a code: why it was put
    off, skipped or given up. ``provider_reference`` is how those who carry it know it. What it is about are ids without
    foreign keys, as in notifications.
    """

    __tablename__ = "deliveries"

    delivery_id: Mapped[BigId]
    user_id: Mapped[BigInt] = mapped_column(sa.ForeignKey("users.user_id", ondelete="CASCADE"))
    channel: Mapped[str] = mapped_column(sa.String(20))
    type: Mapped[str] = mapped_column(sa.String(50))
    event_id: Mapped[BigInt]
    group_key: Mapped[str | None] = mapped_column(sa.String(100))
    count: Mapped[int] = mapped_column(server_default=sa.text("1"))
    actor_id: Mapped[BigInt | None]
    listing_id: Mapped[BigInt | None]
    conversation_id: Mapped[BigInt | None]
    review_id: Mapped[BigInt | None]
    session_id: Mapped[BigInt | None]
    data: Mapped[Json] = mapped_column(server_default=sa.text("'{}'"))
    status: Mapped[str] = mapped_column(sa.String(10), server_default="due")
    due_at: Mapped[Created]
    attempts: Mapped[int] = mapped_column(server_default=sa.text("0"))
    provider_reference: Mapped[str | None] = mapped_column(sa.String(255))
    error: Mapped[str | None] = mapped_column(sa.String(50))
    date_created: Mapped[Created]
    date_done: Mapped[Timestamp | None]

    __table_args__ = (
        sa.CheckConstraint(f"channel IN ({', '.join(map(repr, CHANNELS))})", "channel"),
        sa.CheckConstraint("type ~ '^[a-z_]+$'", "type"),
        sa.CheckConstraint(f"status IN ({', '.join(map(repr, STATUSES))})", "status"),
        sa.CheckConstraint("(status = 'due') = (date_done IS NULL)", "date_done"),
        sa.CheckConstraint("error ~ '^[a-z0-9_]+$'", "error"),
        sa.CheckConstraint("attempts >= 0 AND count > 0", "counts"),
        sa.CheckConstraint("jsonb_typeof(data) = 'object'", "data"),
        sa.Index("uq_deliveries_once", "user_id", "channel", "type", "event_id", unique=True),
        sa.Index("ix_deliveries_due", "channel", "due_at", "delivery_id", postgresql_where=sa.text(_DUE)),
        sa.Index("ix_deliveries_due_of_user", "user_id", "channel", postgresql_where=sa.text(_DUE)),
        sa.Index("ix_deliveries_failed", "channel", "delivery_id", postgresql_where=sa.text("status = 'failed'")),
        sa.Index(
            "ix_deliveries_provider_reference",
            "provider_reference",
            postgresql_where=sa.text("provider_reference IS NOT NULL"),
        ),
        sa.Index("ix_deliveries_done", "date_done", postgresql_where=sa.text("status <> 'due'")),
    )
