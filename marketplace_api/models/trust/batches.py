"""Batches of moderation: what was done to many things at once, row by row, so that it can be undone."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Mapped, mapped_column

from marketplace_api.database.base import Base, BigId, BigInt, Created, Timestamp

BATCH_STATES = ("running", "done", "undoing", "undone")
OUTCOMES = ("waiting", "changed", "skipped", "restored", "kept")


def _one_of(column: str, values: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


class Batch(Base):
    """One action on many things. While it runs, ``date_updated`` is when its last part was committed.

    A batch whose runner died stays ``running`` or ``undoing``; either can be gone on with.
    """

    __tablename__ = "moderation_batches"

    batch_id: Mapped[BigId]
    action: Mapped[str] = mapped_column(sa.String(30))
    target: Mapped[str] = mapped_column(sa.String(20))
    conditions: Mapped[str] = mapped_column(sa.Text)
    reason: Mapped[str] = mapped_column(sa.Text)
    state: Mapped[str] = mapped_column(sa.String(10), server_default="running")
    matched: Mapped[int] = mapped_column(server_default=sa.text("0"))
    actor_id: Mapped[BigInt | None]
    actor_name: Mapped[str | None] = mapped_column(sa.String(100))
    request_id: Mapped[str | None] = mapped_column(sa.String(100))
    date_created: Mapped[Created]
    date_updated: Mapped[Created]
    date_finished: Mapped[Timestamp | None]
    date_undone: Mapped[Timestamp | None]

    __table_args__ = (
        sa.CheckConstraint(_one_of("state", BATCH_STATES), "state"),
        sa.CheckConstraint("length(reason) BETWEEN 1 AND 1000", "reason"),
        sa.CheckConstraint("matched >= 0", "matched"),
    )


class BatchRow(Base):
    """One thing in a batch and what became of it; ``detail`` says why it was skipped or kept.

    ``previous`` is what it was before and ``version`` what it became, for putting it back: ``restored`` if nobody had
    touched it since, else ``kept``. ``restored_version`` is what it became by that.
    """

    __tablename__ = "moderation_batch_rows"

    batch_id: Mapped[BigInt] = mapped_column(
        sa.ForeignKey("moderation_batches.batch_id", ondelete="CASCADE"), primary_key=True
    )
    subject_id: Mapped[BigInt] = mapped_column(primary_key=True)
    outcome: Mapped[str] = mapped_column(sa.String(10), server_default="waiting")
    previous: Mapped[dict[str, Any] | None] = mapped_column(postgresql.JSONB)
    version: Mapped[BigInt | None]
    restored_version: Mapped[BigInt | None]
    detail: Mapped[str | None] = mapped_column(sa.Text)

    __table_args__ = (
        sa.CheckConstraint(_one_of("outcome", OUTCOMES), "outcome"),
        sa.CheckConstraint(
            "outcome NOT IN ('changed', 'restored', 'kept') OR num_nonnulls(previous, version) = 2", "previous"
        ),
        # What is still to be done or undone: few of many in the end.
        sa.Index(
            "ix_moderation_batch_rows_open",
            "batch_id",
            "outcome",
            "subject_id",
            postgresql_where=sa.text("outcome IN ('waiting', 'changed')"),
        ),
        # Whether what came after another batch was undone.
        sa.Index(
            "ix_moderation_batch_rows_restored",
            "subject_id",
            "version",
            postgresql_where=sa.text("outcome = 'restored'"),
        ),
    )
