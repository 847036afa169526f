"""Handlers that tell people of messages and reviews."""

from __future__ import annotations

from sqlalchemy.orm import Session

from marketplace_api.domain.community.conversations.notify import notify_receiver
from marketplace_api.domain.outbound.notifications.create import NewNotification, notify
from marketplace_api.domain.outbound.notifications.inbox import conversation_group
from marketplace_api.domain.outbound.notifications.types import NotificationType as T
from marketplace_api.jobs.services import Services
from marketplace_api.models.kernel.events import Event


def notify_of_message(session: Session, event: Event, _services: Services) -> None:
    """Tells the receiver of a message, unless it was read already; those of one conversation share a notification."""
    conversation_id, receiver_id = event.new.get("conversation_id"), event.new.get("receiver_id")
    if conversation_id is None or receiver_id is None or event.subject_id is None:
        return
    notice = NewNotification(
        T.NEW_MESSAGE,
        event.event_id,
        actor_id=event.new["sender_id"],
        conversation_id=conversation_id,
        listing_id=event.new.get("listing_id"),
        data={"message_id": event.subject_id},
        group_key=conversation_group(conversation_id),
    )
    notify_receiver(session, receiver_id, event.subject_id, notice)


def notify_of_review(session: Session, event: Event, _services: Services) -> None:
    """Tells who was reviewed, or whose listing."""
    _notify_of_review(session, event, T.REVIEW_RECEIVED, "owner_id", "reviewer_id")


def notify_of_reply(session: Session, event: Event, _services: Services) -> None:
    """Tells the author of a review that it was replied to."""
    _notify_of_review(session, event, T.REVIEW_REPLIED, "reviewer_id", "owner_id")


def _notify_of_review(session: Session, event: Event, type: T, receiver: str, actor: str) -> None:
    receiver_id = event.new.get(receiver)
    if receiver_id is not None:
        notice = NewNotification(
            type,
            event.event_id,
            actor_id=event.new[actor],
            listing_id=event.new.get("listing_id"),
            review_id=event.subject_id,
        )
        notify(session, receiver_id, notice)
