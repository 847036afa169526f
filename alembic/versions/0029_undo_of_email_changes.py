"""A change of the e-mail address can be undone by a link that the former address is sent.

Until it has run out, the former address is kept for its account: ``ix_one_time_tokens_undo_email`` finds it.

Revision: 0029, after: 0028
"""

import sqlalchemy as sa

from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

PURPOSE, SECURITY = "ck_one_time_tokens_purpose", "ck_notification_choices_security_by_email"
PURPOSES_BEFORE = ("reset_password", "confirm_email")
TYPES_BEFORE = ("password_changed", "new_login", "account_suspended", "account_reinstated")


def upgrade() -> None:
    op.add_column("one_time_tokens", sa.Column("event_id", sa.BigInteger(), nullable=True))
    purposes((*PURPOSES_BEFORE, "undo_email"))
    op.create_index(
        "ix_one_time_tokens_undo_email",
        "one_time_tokens",
        [sa.text("lower(email)")],
        postgresql_where=sa.text("purpose = 'undo_email'"),
    )
    security_by_email((*TYPES_BEFORE, "email_changed"))


def downgrade() -> None:
    security_by_email(TYPES_BEFORE)
    op.drop_index("ix_one_time_tokens_undo_email", table_name="one_time_tokens")
    op.execute("DELETE FROM one_time_tokens WHERE purpose = 'undo_email'")
    purposes(PURPOSES_BEFORE)
    op.drop_column("one_time_tokens", "event_id")


def purposes(allowed: tuple[str, ...]) -> None:
    """What a token can be for."""
    op.drop_constraint(op.f(PURPOSE), "one_time_tokens", type_="check")
    op.create_check_constraint(op.f(PURPOSE), "one_time_tokens", f"purpose IN ({listed(allowed)})")


def security_by_email(types: tuple[str, ...]) -> None:
    """The database's own word on mails that nobody can switch off."""
    op.drop_constraint(op.f(SECURITY), "notification_choices", type_="check")
    op.create_check_constraint(
        op.f(SECURITY), "notification_choices", f"enabled OR channel <> 'email' OR type NOT IN ({listed(types)})"
    )


def listed(values: tuple[str, ...]) -> str:
    return ", ".join(repr(value) for value in values)
