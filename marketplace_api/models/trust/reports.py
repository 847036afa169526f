"""Reports: what an account tells moderators about a listing, a person, a message or a review.

What is reported is named by type and id, for there are four kinds of it; whom it concerns is a column of its own.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from marketplace_api.database.base import Base, BigId, BigInt, Created, Timestamp, Version

SUBJECT_TYPES = ("listing", "user", "message", "review")
REASONS = (
    "spam",
    "fraud",
    "prohibited",
    "counterfeit",
    "offensive",
    "harassment",
    "wrong_category",
    "personal_data",
    "other",
)
STATES = ("open", "assigned", "resolved", "dismissed")
LONGEST_COMMENT = 1_000

# The place in the queue: what waits for anybody, what somebody works on, what is done.
STAGE = "CASE state WHEN 'open' THEN 0 WHEN 'assigned' THEN 1 WHEN 'resolved' THEN 2 ELSE 3 END"


def _one_of(column: str, values: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


class Report(Base):
    """One report. ``reported_id`` is the account that it is about: the person, the owner, the sender or the author.

    ``reporter_id`` is empty once that account is erased; what it wrote then goes with the decision at the latest.
    """

    __tablename__ = "reports"

    report_id: Mapped[BigId]
    reporter_id: Mapped[BigInt | None] = mapped_column(sa.ForeignKey("users.user_id", ondelete="SET NULL"))
    subject_type: Mapped[str] = mapped_column(sa.String(20))
    subject_id: Mapped[BigInt]
    reported_id: Mapped[BigInt] = mapped_column(sa.ForeignKey("users.user_id", ondelete="CASCADE"))
    reason: Mapped[str] = mapped_column(sa.String(20))
    comment: Mapped[str] = mapped_column(sa.Text, server_default="")
    state: Mapped[str] = mapped_column(sa.String(20), server_default="open")
    assignee_id: Mapped[BigInt | None] = mapped_column(sa.ForeignKey("users.user_id", ondelete="RESTRICT"))
    decision_reason: Mapped[str | None] = mapped_column(sa.Text)
    date_created: Mapped[Created]
    date_updated: Mapped[Created]
    date_decided: Mapped[Timestamp | None]
    version: Mapped[Version]

    stage: Mapped[int] = mapped_column(sa.SmallInteger, sa.Computed(STAGE, persisted=True))

    __table_args__ = (
        sa.CheckConstraint(_one_of("subject_type", SUBJECT_TYPES), "subject_type"),
        sa.CheckConstraint(_one_of("reason", REASONS), "reason"),
        sa.CheckConstraint(_one_of("state", STATES), "state"),
        sa.CheckConstraint(f"length(comment) <= {LONGEST_COMMENT}", "comment"),
        sa.CheckConstraint("subject_type <> 'user' OR subject_id = reported_id", "reported"),
        sa.CheckConstraint("reporter_id <> reported_id", "not_of_oneself"),
        sa.CheckConstraint("assignee_id <> reported_id", "assignee"),
        sa.CheckConstraint(
            "(state <> 'open' OR assignee_id IS NULL) AND (state <> 'assigned' OR assignee_id IS NOT NULL)", "assigned"
        ),
        sa.CheckConstraint("(state IN ('resolved', 'dismissed')) = (date_decided IS NOT NULL)", "decided"),
        # Nobody's words are kept longer than they are needed.
        sa.CheckConstraint("reporter_id IS NOT NULL OR date_decided IS NULL OR comment = ''", "nameless"),
        sa.UniqueConstraint("reporter_id", "subject_type", "subject_id"),
        sa.Index("ix_reports_stage", "stage", "report_id"),
        sa.Index("ix_reports_subject_type", "subject_type", "stage", "report_id"),
        sa.Index("ix_reports_subject", "subject_type", "subject_id", "stage", "report_id"),
        sa.Index("ix_reports_assignee_id", "assignee_id", "stage", "report_id"),
        sa.Index("ix_reports_reported_id", "reported_id"),
    )
