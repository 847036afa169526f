"""Handlers that make notifications in the application: who is told of what happened.

Each may run any number of times for one event and tells once; see ``domain/outbound/notifications/create.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from sqlalchemy.orm import Session

from marketplace_api.domain.catalog.listings import queries as listing_rows
from marketplace_api.domain.kernel.events import EventType
from marketplace_api.domain.outbound.notifications.create import NewNotification, notify, notify_bookmarkers
from marketplace_api.domain.outbound.notifications.types import NotificationType as T
from marketplace_api.jobs.services import Services
from marketplace_api.models.identity.accounts import User
from marketplace_api.models.kernel.events import Event

LISTING_STEPS: Mapping[str, T] = {
    "verify": T.LISTING_VERIFIED,
    "reject": T.LISTING_REJECTED,
    "suspend": T.LISTING_SUSPENDED,
    "reinstate": T.LISTING_REINSTATED,
}
_JUDGEMENTS: Mapping[str, T] = {
    EventType.USER_SUSPENDED: T.ACCOUNT_SUSPENDED,
    EventType.USER_REINSTATED: T.ACCOUNT_REINSTATED,
}


def notify_owner(session: Session, event: Event, _services: Services) -> None:
    """Tells the owner of a listing what moderators decided about it."""
    type = LISTING_STEPS.get(event.new.get("step", ""))
    listing = listing_rows.find(session, event.subject_id or 0) if type is not None else None
    if type is not None and listing is not None and listing.user_id != event.actor_id:
        notify(session, listing.user_id, NewNotification(type, event.event_id, listing_id=listing.listing_id))


def notify_keepers_of_sale(session: Session, event: Event, _services: Services) -> None:
    """Tells who keeps a listing that it was sold."""
    if event.new.get("step") == "mark-sold":
        _notify_bookmarkers(session, event, T.BOOKMARK_SOLD, {})


def notify_keepers_of_price(session: Session, event: Event, _services: Services) -> None:
    """Tells who keeps a listing that it costs less now; nothing, where the currency changed as well."""
    previous, price = (event.previous or {}).get("price"), event.new.get("price")
    if previous is None or price is None or "currency" in event.new or Decimal(price) >= Decimal(previous):
        return
    listing = listing_rows.find(session, event.subject_id or 0)
    if listing is not None:
        prices = {"previous_price": previous, "price": price, "currency": listing.currency}
        _notify_bookmarkers(session, event, T.BOOKMARK_PRICE_DROPPED, prices)


def _notify_bookmarkers(session: Session, event: Event, type: T, data: Mapping[str, Any]) -> None:
    listing = listing_rows.find(session, event.subject_id or 0)
    if listing is None:
        return
    group = f"{type.value}:{listing.listing_id}"
    notice = NewNotification(type, event.event_id, listing_id=listing.listing_id, data=data, group_key=group)
    while notify_bookmarkers(session, notice, (event.actor_id, listing.user_id)):
        session.commit()


def notify_of_password(session: Session, event: Event, _services: Services) -> None:
    """Tells the owner of an account that its password changed, whoever did it."""
    notify(session, event.subject_id or 0, NewNotification(T.PASSWORD_CHANGED, event.event_id))


def notify_of_email(session: Session, event: Event, _services: Services) -> None:
    """Tells the owner of an account that its e-mail address is another one, or the former one again."""
    undone = event.type == EventType.USER_EMAIL_CHANGE_UNDONE
    if undone or event.new.get("changed"):
        data = {"undone": True} if undone else {}
        notify(session, event.subject_id or 0, NewNotification(T.EMAIL_CHANGED, event.event_id, data=data))


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
    notify(session, user.user_id, NewNotification(_JUDGEMENTS[event.type], event.event_id, data=data))


def notify_of_login(session: Session, event: Event, _services: Services) -> None:
    """Tells the owner of an account of a log-in from a device that was never seen before."""
    if event.new.get("new_device"):
        notify(
            session,
            event.subject_id or 0,
            NewNotification(T.NEW_LOGIN, event.event_id, session_id=event.new.get("session_id")),
        )
