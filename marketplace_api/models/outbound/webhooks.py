"""Webhooks: the addresses that are told of events, what they were told, and how far the log was passed on."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Mapped, mapped_column

from marketplace_api.database.base import Base, BigId, BigInt, Created, Timestamp, Version

ENDPOINT_STATES = ("enabled", "disabled")
DISABLED_REASONS = ("by_hand", "gone", "failing")
DELIVERY_STATES = ("waiting", "delivered", "failed")
DELIVERY_KINDS = ("automatic", "test", "resend")
LONGEST_URL = 2_000
LONGEST_DESCRIPTION = 200
MOST_TYPES = 100


def _one_of(column: str, values: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


class WebhookEndpoint(Base):
    """An address that is told of events of these types, ``listing.*`` and ``*`` among them.

    Secrets are sealed; the previous one signs as well until ``previous_until``. ``since_event_id`` is where the log was
    when the endpoint began to be told; ``failures`` counts the attempts since the last that succeeded,
    ``delivered_count`` and ``failed_count`` the deliveries that came to an end.
    """

    __tablename__ = "webhook_endpoints"

    endpoint_id: Mapped[BigId]
    url: Mapped[str] = mapped_column(sa.Text)
    description: Mapped[str] = mapped_column(sa.Text, server_default="")
    event_types: Mapped[list[str]] = mapped_column(postgresql.ARRAY(sa.Text))
    secret: Mapped[bytes] = mapped_column(sa.LargeBinary)
    previous_secret: Mapped[bytes | None] = mapped_column(sa.LargeBinary)
    previous_until: Mapped[Timestamp | None]
    status: Mapped[str] = mapped_column(sa.String(10), server_default="enabled")
    disabled_reason: Mapped[str | None] = mapped_column(sa.String(10))
    failures: Mapped[int] = mapped_column(sa.Integer, server_default=sa.text("0"))
    failing_since: Mapped[Timestamp | None]
    delivered_count: Mapped[BigInt] = mapped_column(server_default=sa.text("0"))
    failed_count: Mapped[BigInt] = mapped_column(server_default=sa.text("0"))
    since_event_id: Mapped[BigInt]
    date_created: Mapped[Created]
    date_updated: Mapped[Created]
    version: Mapped[Version]

    __table_args__ = (
        sa.CheckConstraint(f"length(url) <= {LONGEST_URL} AND url ~ '^https?://'", "url"),
        sa.CheckConstraint(f"length(description) <= {LONGEST_DESCRIPTION}", "description"),
        sa.CheckConstraint(f"cardinality(event_types) BETWEEN 1 AND {MOST_TYPES}", "event_types"),
        sa.CheckConstraint(_one_of("status", ENDPOINT_STATES), "status"),
        sa.CheckConstraint(_one_of("disabled_reason", DISABLED_REASONS), "disabled_reason"),
        sa.CheckConstraint("(status = 'disabled') = (disabled_reason IS NOT NULL)", "disabled"),
        sa.CheckConstraint("(previous_secret IS NULL) = (previous_until IS NULL)", "previous"),
        sa.CheckConstraint("(failures > 0) = (failing_since IS NOT NULL)", "failing"),
    )


class WebhookDelivery(Base):
    """One event for one endpoint, and what became of it. ``next_attempt_at`` is set while it waits; during an attempt it
    is when another worker may try, should this one die."""

    __tablename__ = "webhook_deliveries"

    delivery_id: Mapped[BigId]
    endpoint_id: Mapped[BigInt] = mapped_column(sa.ForeignKey("webhook_endpoints.endpoint_id", ondelete="CASCADE"))
    event_id: Mapped[BigInt]
    type: Mapped[str] = mapped_column(sa.String(60))
    kind: Mapped[str] = mapped_column(sa.String(10), server_default="automatic")
    status: Mapped[str] = mapped_column(sa.String(10), server_default="waiting")
    attempts: Mapped[int] = mapped_column(sa.SmallInteger, server_default=sa.text("0"))
    response_status: Mapped[int | None] = mapped_column(sa.SmallInteger)
    response_body: Mapped[str | None] = mapped_column(sa.Text)
    problem: Mapped[str | None] = mapped_column(sa.Text)
    next_attempt_at: Mapped[Timestamp | None] = mapped_column(server_default=sa.func.now())
    date_created: Mapped[Created]
    date_finished: Mapped[Timestamp | None]

    __table_args__ = (
        sa.CheckConstraint(_one_of("kind", DELIVERY_KINDS), "kind"),
        sa.CheckConstraint(_one_of("status", DELIVERY_STATES), "status"),
        sa.CheckConstraint("(status = 'waiting') = (next_attempt_at IS NOT NULL)", "next_attempt"),
        sa.CheckConstraint("(status = 'waiting') = (date_finished IS NULL)", "finished"),
        # An event is told once; by hand as often as somebody likes.
        sa.Index(
            "uq_webhook_deliveries_automatic",
            "endpoint_id",
            "event_id",
            unique=True,
            postgresql_where=sa.text("kind = 'automatic'"),
        ),
        sa.Index(
            "ix_webhook_deliveries_due",
            "endpoint_id",
            "next_attempt_at",
            postgresql_where=sa.text("status = 'waiting'"),
        ),
        sa.Index("ix_webhook_deliveries_endpoint_id", "endpoint_id", "delivery_id"),
        sa.Index("ix_webhook_deliveries_status", "endpoint_id", "status", "delivery_id"),
        sa.Index("ix_webhook_deliveries_type", "endpoint_id", "type", "delivery_id"),
        sa.Index("ix_webhook_deliveries_date_created", "date_created"),
    )


class WebhookPosition(Base):
    """The one row that says up to which event deliveries were made; who holds its lock makes them."""

    __tablename__ = "webhook_position"

    position_id: Mapped[int] = mapped_column(sa.SmallInteger, primary_key=True, autoincrement=False)
    event_id: Mapped[BigInt]

    __table_args__ = (sa.CheckConstraint("position_id = 1", "single"),)
