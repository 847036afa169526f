"""What may come in about the keys of programs."""

from __future__ import annotations

from colander import SchemaNode

from marketplace_api.models.identity.api_keys import SCOPES
from marketplace_api.schemas.base import Body, PageQuery
from marketplace_api.schemas.types import ListOf, Moment, Nullable, OneOf, Text

NAME = Text(100)


class IssueKey(Body):
    """A key for a program: who holds it may do what its scopes say, and nothing else."""

    name = SchemaNode(NAME, title="Name", description="What it is for, for those who look through the keys.")
    scopes = SchemaNode(
        ListOf(OneOf(SCOPES), len(SCOPES), 1, unique=True), title="Scopes", description=f"Of: {', '.join(SCOPES)}."
    )
    expires_at = SchemaNode(Nullable(Moment()), missing=None, title="Until", description="For ever, if empty.")


class ListKeys(PageQuery):
    """All keys, the newest first."""
