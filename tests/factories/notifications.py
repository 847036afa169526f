"""Notifications for tests, made by the handlers of the events that really happened."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.config.settings import Settings
from marketplace_api.domain.kernel.events import EventType, record
from marketplace_api.domain.kernel.paging import PageRequest
from marketplace_api.domain.outbound.notifications import content, reading
from marketplace_api.gateways.email import make_mailer
from marketplace_api.jobs.handlers import HANDLERS
from marketplace_api.jobs.services import Services
from marketplace_api.models.identity.accounts import User
from marketplace_api.models.kernel.events import Event
from tests.factories.conversations import actor_of

SERVICES = Services(Settings(), make_mailer(Settings()))


def notify(session: Session) -> None:
    """Run the handlers that notify for every event so far, again for those that were handled before, and commit."""
    for event in session.execute(sa.select(Event).order_by(Event.event_id)).scalars().all():
        handle(session, event)


def handle(session: Session, event: Event) -> None:
    """Run the handlers of one event that notify, and commit, as the worker does."""
    for handler in HANDLERS.get(event.type, ()):
        if handler.__module__.endswith(".notification_handlers"):
            handler(session, event, SERVICES)
            session.commit()


def happen(session: Session, actor: User, type: EventType, subject_id: int, **values: Any) -> Event:
    """An event by ``actor``, committed: for what other parts of the application do."""
    event = record(session, actor_of(actor), type, subject_id, **values)
    session.commit()
    return event


def make_notification(session: Session, user: User, actor: User) -> int:
    """A notification of ``user``'s, of a decision by ``actor``; returns its id."""
    event = happen(session, actor, EventType.VERIFICATION_APPROVED, 1, new={"user_id": user.user_id})
    handle(session, event)
    return listed(session, user)[0].notification_id


def listed(session: Session, user: User, **options: Any) -> list[Any]:
    """The rows of a person's notifications; the counts must be what the rows come to."""
    page, unread = reading.list_page(session, user.user_id, PageRequest(limit=100), **options)
    assert (page.total, unread) == true_counts(session, user) if not options else True
    return list(page.items)


def told(session: Session, user: User) -> list[tuple[str, str]]:
    """Type and sentence of each notification of a person."""
    return [(row.type, content.text_of(row).content) for row in listed(session, user)]


def true_counts(session: Session, user: User) -> tuple[int, int]:
    """All and unread notifications of a person, counted one by one."""
    statement = sa.text("SELECT count(*), count(*) FILTER (WHERE NOT is_read) FROM notifications WHERE user_id = :id")
    total, unread = session.execute(statement, {"id": user.user_id}).one()
    return total, unread
