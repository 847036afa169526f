"""What may come in about accounts."""

from __future__ import annotations

from typing import Any

from colander import SchemaNode, drop

from marketplace_api.domain.identity.passwords import MAXIMUM_LENGTH, MINIMUM_LENGTH
from marketplace_api.schemas.base import Body, ObjectType, PageQuery, Query, names
from marketplace_api.schemas.types import Email, Nullable, OneOf, Text
from marketplace_api.schemas.web_address import WebAddress

ME_FIELDS = (
    "user_id",
    "username",
    "email",
    "pending_email",
    "is_email_confirmed",
    "email_problem",
    "profile_picture_url",
    "bio",
    "date_joined",
    "last_login",
    "is_verified",
    "contact_information",
    "roles",
    "state",
    "state_reason",
    "suspended_until",
    "rating_average",
    "rating_count",
)
USER_FIELDS = (
    "user_id",
    "username",
    "profile_picture_url",
    "bio",
    "date_joined",
    "is_verified",
    "rating_average",
    "rating_count",
)


class NewPassword(Text):
    """A password to be. That it is long enough is said by the policy, with all that it finds wrong at once."""

    def __init__(self) -> None:
        super().__init__(MAXIMUM_LENGTH, MINIMUM_LENGTH, strip=False, secret=True)

    def check(self, node: SchemaNode, value: Any) -> str:
        return PASSWORD.check(node, value)


USERNAME = Text(
    50, 3, pattern=r"[A-Za-z0-9](?:[A-Za-z0-9._\-]*[A-Za-z0-9])?", hint="Use letters, digits and, inside, . _ or -."
)
# One that is there already, perhaps from the time of another policy.
PASSWORD = Text(MAXIMUM_LENGTH, strip=False, secret=True)
PASSWORD_HINT = f"At least {MINIMUM_LENGTH} characters."
TOKEN = Text(500, strip=False, secret=True)


class Register(Body):
    """A new account."""

    username = SchemaNode(USERNAME, title="User name")
    email = SchemaNode(Email(), title="E-mail")
    password = SchemaNode(NewPassword(), title="Password", description=PASSWORD_HINT)


class LogIn(Body):
    """Who and the proof."""

    email = SchemaNode(Text(255, 3), title="E-mail")
    password = SchemaNode(PASSWORD, title="Password")
    refresh_token = SchemaNode(
        TOKEN,
        missing=drop,
        title="Last refresh token",
        description="The last refresh token of this device, even of a session that is over, or nothing: a device that the"
        " account knows does not wait for the failures of others.",
    )


class Refresh(Body):
    """The refresh token of the last answer."""

    refresh_token = SchemaNode(TOKEN, title="Refresh token")


class LogOut(Body):
    """Which sessions to end."""

    scope = SchemaNode(OneOf(("this", "others", "all")), missing="this", title="Scope")


class RequestPasswordReset(Body):
    """Whose password."""

    email = SchemaNode(Email(), title="E-mail")


class ResetPassword(Body):
    """The token from the mail and the new password."""

    token = SchemaNode(TOKEN, title="Token")
    newPassword = SchemaNode(NewPassword(), title="New password", description=PASSWORD_HINT)  # noqa: N815 - the name on the wire


class ConfirmEmail(Body):
    """The token from the mail."""

    token = SchemaNode(TOKEN, title="Token")


class ContactInformation(SchemaNode):
    """How to reach the person; never public."""

    schema_type = ObjectType
    phone = SchemaNode(Nullable(Text(40)), missing=drop, title="Phone")
    address = SchemaNode(Nullable(Text(500, lines=True)), missing=drop, title="Address")


class EditAccount(Body):
    """What to change; absent fields stay. A new e-mail takes the current password, and counts once it is confirmed."""

    read_only = frozenset(ME_FIELDS) - {"username", "email", "profile_picture_url", "bio", "contact_information"}
    username = SchemaNode(USERNAME, missing=drop, title="User name")
    email = SchemaNode(Email(), missing=drop, title="E-mail")
    profile_picture_url = SchemaNode(Nullable(WebAddress()), missing=drop, title="Picture")
    bio = SchemaNode(Nullable(Text(5000, 0, lines=True)), missing=drop, title="About")
    contact_information = ContactInformation(missing=drop, title="Contact information")
    currentPassword = SchemaNode(  # noqa: N815 - the name on the wire
        PASSWORD, missing=drop, title="Current password", description="Only where the e-mail becomes another one."
    )


class ChangePassword(Body):
    """The present and the new password."""

    currentPassword = SchemaNode(PASSWORD, title="Current password")  # noqa: N815 - the name on the wire
    newPassword = SchemaNode(NewPassword(), title="New password", description=PASSWORD_HINT)  # noqa: N815 - the name on the wire


class Deactivate(Body):
    """The proof that it is the owner who leaves."""

    password = SchemaNode(PASSWORD, title="Password")


class ReadMe(Query):
    """How to show the account."""

    fields = names(ME_FIELDS, "Only these fields.")


class ReadUser(Query):
    """How to show a profile."""

    fields = names(USER_FIELDS, "Only these fields.")


class ListSessions(PageQuery):
    """Which part of the list."""
