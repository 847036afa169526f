"""Pictures of people are kept as paths; mails about what moderators did to an account cannot be switched off.

Revision: 0017, after: 0016
"""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

CHECK = "ck_notification_choices_security_by_email"
BEFORE = ("password_changed", "new_login")
SINCE = (*BEFORE, "account_suspended", "account_reinstated")


def upgrade() -> None:
    # What differs from what was made of the picture is an address that its owner chose.
    op.execute(
        "UPDATE users SET profile_picture_url = '/files/' || picture.card_key FROM user_pictures AS picture "
        "WHERE picture.user_id = users.user_id AND users.profile_picture_url = picture.url"
    )
    # Not dropped: until it is restarted, the release before this one fills it.
    op.alter_column("user_pictures", "url", nullable=True)
    security_by_email(SINCE)


def downgrade() -> None:
    security_by_email(BEFORE)
    # The address of the service is not known here, and a path is right for whoever reads it there.
    op.execute("UPDATE user_pictures SET url = '/files/' || card_key WHERE url IS NULL")
    op.alter_column("user_pictures", "url", nullable=False)


def security_by_email(types: tuple[str, ...]) -> None:
    """The database's own word on mails that nobody can switch off."""
    listed = ", ".join(repr(each) for each in types)
    op.drop_constraint(op.f(CHECK), "notification_choices", type_="check")
    op.create_check_constraint(
        op.f(CHECK), "notification_choices", f"enabled OR channel <> 'email' OR type NOT IN ({listed})"
    )
