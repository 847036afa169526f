"""Failed log-ins are counted per account and network, and know their account and whose guess they wait for.

What was counted before is of keys that nobody asks for any more, and goes with the next sweep: it holds nobody up.

Revision: 0028, after: 0027
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("login_failures", sa.Column("account", postgresql.BYTEA(), nullable=True))
    op.add_column("login_failures", sa.Column("claim", sa.SmallInteger(), nullable=True))
    op.create_index("ix_login_failures_account", "login_failures", ["account"])


def downgrade() -> None:
    op.drop_index("ix_login_failures_account", table_name="login_failures")
    op.drop_column("login_failures", "claim")
    op.drop_column("login_failures", "account")
