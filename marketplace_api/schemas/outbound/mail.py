"""What may come in from mail programs and from those who carry our mail."""

from __future__ import annotations

from colander import SchemaNode, drop

from marketplace_api.domain.identity.accounts.email_bounces import KINDS
from marketplace_api.schemas.base import Body
from marketplace_api.schemas.types import Email, OneOf, Text


class Unsubscribe(Body):
    """What mail programs send for one click (RFC 8058); it says nothing that the address does not."""

    one_click = SchemaNode(OneOf(("One-Click",)), name="List-Unsubscribe", missing=drop)


class UndoEmailChange(Body):
    """Nothing: the address says all."""


class ReportBounce(Body):
    """One mail that came back."""

    recipient = SchemaNode(Email(), description="The address that the mail was sent to.")
    kind = SchemaNode(
        OneOf(KINDS), description="`complaint` where its receiver called it unwanted; `temporary` changes nothing."
    )
    message_id = SchemaNode(Text(255), missing=None, description="The mail's Message-ID.")
