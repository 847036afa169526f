"""Handlers that tell people what moderators decided: of verifications, reports, removed messages, batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from marketplace_api.domain.kernel.events import EventType
from marketplace_api.domain.outbound.notifications.create import NewNotification, notify
from marketplace_api.domain.outbound.notifications.types import NotificationType as T
from marketplace_api.domain.trust.moderation import reported_messages
from marketplace_api.domain.trust.moderation.notify import notify_listing_owners
from marketplace_api.jobs.outbound.notification_handlers import LISTING_STEPS
from marketplace_api.jobs.services import Services
from marketplace_api.models.kernel.events import Event

# What undoing an action looks like to those concerned; other actions are undone in silence.
_UNDONE: Mapping[str, str] = {"suspend": "reinstate", "reinstate": "suspend"}
_VERIFICATIONS: Mapping[str, T] = {
    EventType.VERIFICATION_APPROVED: T.VERIFICATION_APPROVED,
    EventType.VERIFICATION_REJECTED: T.VERIFICATION_REJECTED,
    EventType.VERIFICATION_EXPIRED: T.VERIFICATION_EXPIRED,
}
_REPORTS: Mapping[str, T] = {
    EventType.REPORT_RESOLVED: T.REPORT_RESOLVED,
    EventType.REPORT_DISMISSED: T.REPORT_DISMISSED,
}


def notify_sender(session: Session, event: Event, _services: Services) -> None:
    """Tells the sender of a message that moderators removed why, unless it came back; several share a notification."""
    row = reported_messages.find(session, event.subject_id or 0, None)
    if row is None or row.deleted_at is None or row.sender_id == event.actor_id:
        return
    data = {"message_id": row.message_id, "reason": event.reason}
    notify(
        session,
        row.sender_id,
        NewNotification(T.MESSAGE_REMOVED, event.event_id, data=data, group_key=T.MESSAGE_REMOVED),
    )


def notify_of_verification(session: Session, event: Event, _services: Services) -> None:
    """Tells whose identity was, or was not, verified."""
    _notify_affected(session, event, _VERIFICATIONS[event.type], "user_id", {"verification_id": event.subject_id})


def notify_reporter(session: Session, event: Event, _services: Services) -> None:
    """Tells who reported something what became of it."""
    _notify_affected(session, event, _REPORTS[event.type], "reporter_id", {"report_id": event.subject_id})


def _notify_affected(session: Session, event: Event, type: T, receiver: str, data: Mapping[str, Any]) -> None:
    """The moderator who decided is not named."""
    receiver_id = event.new.get(receiver)
    if receiver_id is not None and receiver_id != event.actor_id:
        notify(session, receiver_id, NewNotification(type, event.event_id, data=data))


def notify_owners(session: Session, event: Event, _services: Services) -> None:
    """Tells the owners of the listings in a part of a batch; however many listings and parts, each has one notification."""
    told = event.new
    action, undone = told.get("action", ""), told.get("undone")
    action = _UNDONE.get(action, "") if undone else action
    type = LISTING_STEPS.get(action)
    if type is None or told.get("target") != "listings" or event.subject_id is None:
        return
    group = f"batch:{event.subject_id}:{action}"
    notify_listing_owners(
        session,
        NewNotification(type, event.event_id, data={"batch_id": event.subject_id}, group_key=group),
        batch_id=event.subject_id,
        first_id=told["first_id"],
        last_id=told["last_id"],
        # What an undo, which may have come before this, left as it is was changed as well.
        outcomes=("restored",) if undone else ("changed", "kept"),
        moderator_id=event.actor_id,
    )
