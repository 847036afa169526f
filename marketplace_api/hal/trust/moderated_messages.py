"""Reported messages as they go out to the moderators who decide on them."""

from __future__ import annotations

from marketplace_api.hal.registry import represents
from marketplace_api.hal.representation import Links, Representation, link
from marketplace_api.resources.trust.moderated_messages import ModeratedMessageContext


@represents(ModeratedMessageContext)
def moderated_message(context: ModeratedMessageContext) -> Representation:
    """One reported message; what it says is there only for whom a report of it is assigned to."""
    row = context.row
    names = (
        "message_id",
        "conversation_id",
        "sender_id",
        "sender_username",
        "receiver_id",
        "receiver_username",
        "listing_id",
        "content",
        "timestamp_sent",
        "moderation_reason",
    )
    state = {name: getattr(row, name) for name in names}
    state |= {"status": "sent" if row.deleted_at is None else "deleted", "date_deleted": row.deleted_at}
    same = f"/api/moderation/reports?subject_type=message&subject_id={row.message_id}"
    links: Links = {
        "self": link(context.path),
        "up": link("/api/moderation"),
        "mkt:reports": link(same, title="All reports of the same"),
        "author": link(f"/api/admin/users/{row.sender_id}"),
    }
    return Representation(state, links, context=context, values={}, version=row.version)
