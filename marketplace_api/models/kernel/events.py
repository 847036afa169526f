"""The append-only event log: audit trail, outbox and feed in one."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Mapped, mapped_column

from marketplace_api.database.base import Base, BigId, BigInt, Created, Json


class Event(Base):
    """What happened, to what, by whom, on whose behalf, with the values before and after. Never changed, never deleted.

    The ids of actor and subject are no foreign keys: the log outlives what it tells of. The table is partitioned by
    months; an id alone names an event nevertheless.
    """

    __tablename__ = "events"

    event_id: Mapped[BigId]
    type: Mapped[str] = mapped_column(sa.String(60))
    actor_id: Mapped[BigInt | None]
    actor_name: Mapped[str | None] = mapped_column(sa.String(100))
    on_behalf_of_id: Mapped[BigInt | None]
    subject_type: Mapped[str] = mapped_column(sa.String(30))
    subject_id: Mapped[BigInt | None]
    previous: Mapped[dict[str, Any] | None] = mapped_column(postgresql.JSONB)
    new: Mapped[Json] = mapped_column(server_default=sa.text("'{}'"))
    reason: Mapped[str | None] = mapped_column(sa.Text)
    request_id: Mapped[str | None] = mapped_column(sa.String(100))
    date_created: Mapped[Created] = mapped_column(primary_key=True)

    __table_args__ = (
        sa.Index("ix_events_subject", "subject_type", "subject_id", "event_id"),
        sa.Index("ix_events_actor_id", "actor_id", "event_id"),
        sa.Index("ix_events_type", "type", "event_id"),
        sa.Index("ix_events_actor_id_type", "actor_id", "type", "event_id"),
        # Where in the log a time lies.
        sa.Index("ix_events_date_created", "date_created", "event_id"),
        sa.CheckConstraint(r"type ~ '^[a-z_]+\.[a-z_]+$'", "type"),
        {"postgresql_partition_by": "RANGE (date_created)"},
    )
    __mapper_args__ = {"primary_key": ["event_id"]}
