"""Telephone numbers as they go out: to nobody but their owners."""

from __future__ import annotations

from typing import Any

from marketplace_api.hal.registry import represents
from marketplace_api.hal.representation import Representation, link
from marketplace_api.resources.outbound.phones import PHONE, PhoneContext


@represents(PhoneContext)
def phone(context: PhoneContext) -> Representation:
    """The number that the caller has confirmed, and the one that waits."""
    row = context.row
    state: dict[str, Any] = {
        "user_id": row.user_id,
        "phone": row.number,
        "confirmed_at": row.confirmed_at,
        "is_stopped": context.is_stopped,
        "waiting": None
        if row.waiting_number is None
        else {
            "phone": row.waiting_number,
            "is_sent": row.is_sent,
            "attempts_left": row.attempts_left,
            "expires_at": row.expires_at if row.is_sent else None,
            "problem": row.problem,
        },
    }
    links = {
        "self": link(PHONE),
        "up": link("/api/users/me"),
        "mkt:notification-preferences": link("/api/users/me/notification-preferences"),
    }
    return Representation(state, links, context=context)
