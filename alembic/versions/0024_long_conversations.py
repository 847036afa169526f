"""A conversation is taken for some fifty messages long.

Most have three, and that is what is measured; but a page of a conversation is read from its end by the index, and for three
messages PostgreSQL rather fetches and sorts all, which is slow where there are a thousand.

Revision: 0024, after: 0023
"""

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

SHARE = -0.02
"""Different conversations for each message, once PostgreSQL looks at the table again."""


def upgrade() -> None:
    op.execute(f"ALTER TABLE messages ALTER conversation_id SET (n_distinct = {SHARE})")


def downgrade() -> None:
    op.execute("ALTER TABLE messages ALTER conversation_id RESET (n_distinct)")
