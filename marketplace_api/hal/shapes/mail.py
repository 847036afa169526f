"""What the links of mails show."""

from __future__ import annotations

from collections.abc import Mapping

from marketplace_api.domain.outbound.notifications.types import KINDS
from marketplace_api.domain.outbound.notifications.unsubscribe import DIGEST
from marketplace_api.hal.shapes.base import MOMENT, TEXT, Shape

SHAPES: Mapping[str, Shape] = {
    "email_subscription": Shape(
        {
            "type": {"type": "string", "enum": [*(type.value for type in KINDS), DIGEST]},
            "label": TEXT,
            "channel": {"const": "email"},
        },
        ("self", "mkt:notification-preferences"),
    ),
    "email_undo": Shape({"expires_at": MOMENT}),
}
