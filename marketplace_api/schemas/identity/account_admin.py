"""What may come in about accounts from those who look after the marketplace."""

from __future__ import annotations

from colander import SchemaNode

from marketplace_api.models.identity.accounts import ROLES, STATES
from marketplace_api.schemas.base import Body, PageQuery
from marketplace_api.schemas.types import Boolean, FromQuery, ListOf, Moment, Nullable, OneOf, Text

READ_ONLY = frozenset(
    {
        "user_id",
        "username",
        "email",
        "is_email_confirmed",
        "profile_picture_url",
        "bio",
        "state",
        "state_reason",
        "suspended_until",
        "is_verified",
        "date_joined",
        "last_login",
        "deactivated_at",
        "rating_average",
        "rating_count",
    }
)
REASON = Text(2000, 3, lines=True)
SORTS = ("date_joined", "username")


class Judge(Body):
    """Why."""

    reason = SchemaNode(REASON, title="Reason", description="The account's owner can read this.")


class Suspend(Judge):
    """Why, and for how long."""

    until = SchemaNode(Nullable(Moment()), missing=None, title="Until", description="Until further notice, if empty.")


class SetRoles(Body):
    """All roles that the account has from then on; `customer` everyone keeps."""

    read_only = READ_ONLY
    roles = SchemaNode(
        ListOf(OneOf(ROLES), len(ROLES), unique=True), title="Roles", description=f"Of: {', '.join(ROLES)}."
    )


class ListAccounts(PageQuery):
    """The accounts in all states."""

    search = SchemaNode(
        FromQuery(Text(255)),
        missing=None,
        description="The beginning of a user name, or an e-mail address (for admins: the beginning of one).",
    )
    state = SchemaNode(FromQuery(OneOf(STATES)), missing=None, description="Only these.")
    role = SchemaNode(FromQuery(OneOf(ROLES)), missing=None, description="Only who has this role.")
    verified = SchemaNode(FromQuery(Boolean()), missing=None, description="Only verified accounts, or only others.")
    sortBy = SchemaNode(  # noqa: N815  the name on the wire
        FromQuery(OneOf(SORTS)), missing="date_joined", description="What they are arranged by."
    )
    order = SchemaNode(
        FromQuery(OneOf(("asc", "desc"))), missing=None, description="The newest or the first name first, by default."
    )
