"""What may come in about messages that were reported."""

from __future__ import annotations

from colander import SchemaNode

from marketplace_api.schemas.base import Body
from marketplace_api.schemas.types import Text


class RemoveMessage(Body):
    """Why a message is removed."""

    reason = SchemaNode(Text(2000, 3, lines=True), title="Reason", description="Its sender reads this.")
