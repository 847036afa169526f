"""What is kept of jobs beside the queue's own tables: the queues there are, why jobs failed, what the clock did."""

from __future__ import annotations

from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from marketplace_api.database.base import Base, BigInt, Created, Timestamp

LONGEST_TOLD = 500
"""Characters of an error's class, sentence and place."""


class Queue(StrEnum):
    """The queues; a worker serves them all unless it is told which."""

    DEFAULT = "default"
    MAIL = "mail"
    SMS = "sms"
    PUSH = "push"
    MEDIA = "media"
    WEBHOOKS = "webhooks"


class JobError(Base):
    """How one attempt at a job failed; it goes with its job. A foreign key to the queue's table stands in the revision.

    ``message`` is there for errors only whose sentences hold nothing about anybody.
    """

    __tablename__ = "job_errors"

    job_id: Mapped[BigInt] = mapped_column(primary_key=True, autoincrement=False)
    attempt: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    error: Mapped[str] = mapped_column(sa.String(LONGEST_TOLD))
    message: Mapped[str | None] = mapped_column(sa.String(LONGEST_TOLD))
    place: Mapped[str | None] = mapped_column(sa.String(LONGEST_TOLD))
    date_failed: Mapped[Created]


class ScheduleRun(Base):
    """The last run of a task of the schedule; ``next_due_at`` stays where it is until a run succeeds."""

    __tablename__ = "schedule_runs"

    task: Mapped[str] = mapped_column(sa.String(100), primary_key=True)
    outcome: Mapped[str] = mapped_column(sa.String(10))
    started_at: Mapped[Timestamp]
    finished_at: Mapped[Timestamp | None]
    succeeded_at: Mapped[Timestamp | None]
    next_due_at: Mapped[Timestamp]
    error: Mapped[str | None] = mapped_column(sa.String(LONGEST_TOLD))

    __table_args__ = (
        sa.CheckConstraint("outcome IN ('running', 'done', 'failed')", "outcome"),
        sa.CheckConstraint("(outcome = 'running') = (finished_at IS NULL)", "finished"),
        sa.CheckConstraint("(outcome = 'failed') = (error IS NOT NULL)", "error"),
    )
