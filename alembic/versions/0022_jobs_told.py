"""Why jobs failed, and what the clock did.

Revision: 0022, after: 0021
"""

import sqlalchemy as sa

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

# Above this length the class of an error or the sentence of one of ours is cut.
LONGEST = 500


def upgrade() -> None:
    op.create_table(
        "job_errors",
        sa.Column("job_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("error", sa.String(LONGEST), nullable=False),
        sa.Column("message", sa.String(LONGEST), nullable=True),
        sa.Column("place", sa.String(LONGEST), nullable=True),
        sa.Column("date_failed", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        # It goes with its job; the name begins as the queue's own do, because it refers to what belongs to the queue.
        sa.ForeignKeyConstraint(
            ["job_id"], ["procrastinate_jobs.id"], name="procrastinate_job_errors_job_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "attempt", name=op.f("pk_job_errors")),
    )
    op.create_table(
        "schedule_runs",
        sa.Column("task", sa.String(100), nullable=False),
        sa.Column("outcome", sa.String(10), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("succeeded_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("next_due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("error", sa.String(LONGEST), nullable=True),
        sa.CheckConstraint("outcome IN ('running', 'done', 'failed')", name=op.f("ck_schedule_runs_outcome")),
        sa.CheckConstraint("(outcome = 'running') = (finished_at IS NULL)", name=op.f("ck_schedule_runs_finished")),
        sa.CheckConstraint("(outcome = 'failed') = (error IS NOT NULL)", name=op.f("ck_schedule_runs_error")),
        sa.PrimaryKeyConstraint("task", name=op.f("pk_schedule_runs")),
    )


def downgrade() -> None:
    op.drop_table("schedule_runs")
    op.drop_table("job_errors")
