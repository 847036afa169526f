"""A person is taken to have some fifty notifications.

Most have two, and that is what is measured; but a page of them is read from the end of their index, and for two PostgreSQL
rather fetches and sorts all, which is slow where there are a thousand. It is the same with conversations (0024).

Revision: 0027, after: 0026
"""

from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

SHARE = -0.02
"""Different people for each notification, once PostgreSQL looks at the table again."""


def upgrade() -> None:
    op.execute(f"ALTER TABLE notifications ALTER user_id SET (n_distinct = {SHARE})")


def downgrade() -> None:
    op.execute("ALTER TABLE notifications ALTER user_id RESET (n_distinct)")
