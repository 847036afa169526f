"""Handlers that make notifications in the application: who is told of what happened.

Each may run any number of times for one event and tells once; see ``domain/notifications/telling``.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from sqlalchemy.orm import Session

from marketplace_api.domain.catalog.listings import queries as listing_rows
from marketplace_api.domain.kernel.events import EventType
from marketplace_api.domain.outbound.notifications.create import (
    Notice,
    tell,
    tell_keepers,
    tell_of_message,
    tell_owners,
)
from marketplace_api.domain.outbound.notifications.inbox import conversation_group
from marketplace_api.domain.outbound.notifications.types import NotificationType as T
from marketplace_api.domain.trust.moderation import reported_messages
from marketplace_api.jobs.services import Services
from marketplace_api.models.identity.accounts import User
from marketplace_api.models.kernel.events import Event

_STEPS: Mapping[str, T] = {
    "verify": T.LISTING_VERIFIED,
    "reject": T.LISTING_REJECTED,
    "suspend": T.LISTING_SUSPENDED,
    "reinstate": T.LISTING_REINSTATED,
}
# What undoing an action looks like to those concerned; other actions are undone in silence.
_UNDONE: Mapping[str, str] = {"suspend": "reinstate", "reinstate": "suspend"}
_VERIFICATIONS: Mapping[str, T] = {
    EventType.VERIFICATION_APPROVED: T.VERIFICATION_APPROVED,
    EventType.VERIFICATION_REJECTED: T.VERIFICATION_REJECTED,
    EventType.VERIFICATION_EXPIRED: T.VERIFICATION_EXPIRED,
}
_JUDGEMENTS: Mapping[str, T] = {
    EventType.USER_SUSPENDED: T.ACCOUNT_SUSPENDED,
    EventType.USER_REINSTATED: T.ACCOUNT_REINSTATED,
}
_REPORTS: Mapping[str, T] = {
    EventType.REPORT_RESOLVED: T.REPORT_RESOLVED,
    EventType.REPORT_DISMISSED: T.REPORT_DISMISSED,
}


def notify_of_message(session: Session, event: Event, _services: Services) -> None:
    """Tells the receiver of a message, unless it was read already; those of one conversation share a notification."""
    conversation_id, receiver_id = event.new.get("conversation_id"), event.new.get("receiver_id")
    if conversation_id is None or receiver_id is None or event.subject_id is None:
        return
    notice = Notice(
        T.NEW_MESSAGE, event.event_id, actor_id=event.new["sender_id"], conversation_id=conversation_id,
        listing_id=event.new.get("listing_id"), data={"message_id": event.subject_id},
        group_key=conversation_group(conversation_id),
    )  # fmt: skip
    tell_of_message(session, receiver_id, event.subject_id, notice)


def notify_sender(session: Session, event: Event, _services: Services) -> None:
    """Tells the sender of a message that moderators removed why, unless it came back; several share a notification."""
    row = reported_messages.find(session, event.subject_id or 0, None)
    if row is None or row.deleted_at is None or row.sender_id == event.actor_id:
        return
    data = {"message_id": row.message_id, "reason": event.reason}
    tell(session, row.sender_id, Notice(T.MESSAGE_REMOVED, event.event_id, data=data, group_key=T.MESSAGE_REMOVED))


def notify_of_review(session: Session, event: Event, _services: Services) -> None:
    """Tells who was reviewed, or whose listing."""
    _tell_of_review(session, event, T.REVIEW_RECEIVED, "owner_id", "reviewer_id")


def notify_of_reply(session: Session, event: Event, _services: Services) -> None:
    """Tells the author of a review that it was replied to."""
    _tell_of_review(session, event, T.REVIEW_REPLIED, "reviewer_id", "owner_id")


def _tell_of_review(session: Session, event: Event, type: T, receiver: str, actor: str) -> None:
    receiver_id = event.new.get(receiver)
    if receiver_id is not None:
        notice = Notice(
            type, event.event_id, actor_id=event.new[actor], listing_id=event.new.get("listing_id"),
            review_id=event.subject_id,
        )  # fmt: skip
        tell(session, receiver_id, notice)


def notify_of_verification(session: Session, event: Event, _services: Services) -> None:
    """Tells whose identity was, or was not, verified."""
    _tell_affected(session, event, _VERIFICATIONS[event.type], "user_id", {"verification_id": event.subject_id})


def notify_reporter(session: Session, event: Event, _services: Services) -> None:
    """Tells who reported something what became of it."""
    _tell_affected(session, event, _REPORTS[event.type], "reporter_id", {"report_id": event.subject_id})


def _tell_affected(session: Session, event: Event, type: T, receiver: str, data: Mapping[str, Any]) -> None:
    """The moderator who decided is not named."""
    receiver_id = event.new.get(receiver)
    if receiver_id is not None and receiver_id != event.actor_id:
        tell(session, receiver_id, Notice(type, event.event_id, data=data))


def notify_owner(session: Session, event: Event, _services: Services) -> None:
    """Tells the owner of a listing what moderators decided about it."""
    type = _STEPS.get(event.new.get("step", ""))
    listing = listing_rows.find(session, event.subject_id or 0) if type is not None else None
    if type is not None and listing is not None and listing.user_id != event.actor_id:
        tell(session, listing.user_id, Notice(type, event.event_id, listing_id=listing.listing_id))


def notify_owners(session: Session, event: Event, _services: Services) -> None:
    """Tells the owners of the listings in a part of a batch; however many listings and parts, each has one notification."""
    told = event.new
    action, undone = told.get("action", ""), told.get("undone")
    action = _UNDONE.get(action, "") if undone else action
    type = _STEPS.get(action)
    if type is None or told.get("target") != "listings" or event.subject_id is None:
        return
    group = f"batch:{event.subject_id}:{action}"
    tell_owners(
        session, Notice(type, event.event_id, data={"batch_id": event.subject_id}, group_key=group),
        batch_id=event.subject_id, first_id=told["first_id"], last_id=told["last_id"],
        # What an undo, which may have come before this, left as it is was changed as well.
        outcomes=("restored",) if undone else ("changed", "kept"), moderator_id=event.actor_id,
    )  # fmt: skip


def notify_keepers_of_sale(session: Session, event: Event, _services: Services) -> None:
    """Tells who keeps a listing that it was sold."""
    if event.new.get("step") == "mark-sold":
        _tell_keepers(session, event, T.BOOKMARK_SOLD, {})


def notify_keepers_of_price(session: Session, event: Event, _services: Services) -> None:
    """Tells who keeps a listing that it costs less now; nothing, where the currency changed as well."""
    previous, price = (event.previous or {}).get("price"), event.new.get("price")
    if previous is None or price is None or "currency" in event.new or Decimal(price) >= Decimal(previous):
        return
    listing = listing_rows.find(session, event.subject_id or 0)
    if listing is not None:
        prices = {"previous_price": previous, "price": price, "currency": listing.currency}
        _tell_keepers(session, event, T.BOOKMARK_PRICE_DROPPED, prices)


def _tell_keepers(session: Session, event: Event, type: T, data: Mapping[str, Any]) -> None:
    listing = listing_rows.find(session, event.subject_id or 0)
    if listing is None:
        return
    group = f"{type.value}:{listing.listing_id}"
    notice = Notice(type, event.event_id, listing_id=listing.listing_id, data=data, group_key=group)
    while tell_keepers(session, notice, (event.actor_id, listing.user_id)):
        session.commit()


def notify_of_password(session: Session, event: Event, _services: Services) -> None:
    """Tells the owner of an account that its password changed, whoever did it."""
    tell(session, event.subject_id or 0, Notice(T.PASSWORD_CHANGED, event.event_id))


def notify_of_judgement(session: Session, event: Event, _services: Services) -> None:
    """Tells the owner of an account that moderators suspended or reinstated it, why and until when; nothing, if it was
    judged again since.

    The reason of an undone batch is for the log: it is about many.
    """
    user = session.get(User, event.subject_id)
    if user is None or user.state != event.new.get("state"):
        return
    if user.state == "suspended":
        data = {"reason": user.state_reason, "until": user.suspended_until and user.suspended_until.isoformat()}
    else:
        data = {"reason": None if event.new.get("undone") else event.reason}
    tell(session, user.user_id, Notice(_JUDGEMENTS[event.type], event.event_id, data=data))


def notify_of_login(session: Session, event: Event, _services: Services) -> None:
    """Tells the owner of an account of a log-in from a device that was never seen before."""
    if event.new.get("new_device"):
        tell(
            session, event.subject_id or 0, Notice(T.NEW_LOGIN, event.event_id, session_id=event.new.get("session_id"))
        )
