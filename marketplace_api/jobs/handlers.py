"""The one table that says: when this happens, do that. Who is told, what is recounted.

A handler may run more than once for the same event, because a worker may die at any line; each one checks the present
state first, so that a repetition does no harm. For mail that means: a crash after sending and before the job is
marked done sends the message twice, but none is ever lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from sqlalchemy.orm import Session

from marketplace_api.domain import search
from marketplace_api.domain.accounts import recovery
from marketplace_api.domain.events import EventType
from marketplace_api.domain.files import photos, pictures, store
from marketplace_api.gateways.email import Mailer, PermanentDeliveryError
from marketplace_api.gateways.mail_messages import render
from marketplace_api.gateways.storage import Storage, make_storage
from marketplace_api.models.accounts import AccountSession, User
from marketplace_api.models.events import Event
from marketplace_api.settings import Settings

LIFETIMES = {recovery.RESET_PASSWORD: timedelta(hours=1), recovery.CONFIRM_EMAIL: timedelta(days=7)}
TERMS_BATCH = 5_000

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Services:
    """What handlers reach beyond the database."""

    settings: Settings
    mailer: Mailer

    @property
    def storage(self) -> Storage:
        """Where files are."""
        return make_storage(self.settings)


Handler = Callable[[Session, Event, Services], None]


def mail_confirmation(session: Session, event: Event, services: Services) -> None:
    """A link that confirms the address which waits for it: the new one, else that of the registration."""
    user = session.get(User, event.subject_id)
    address = user and (user.pending_email or (user.email if user.email_confirmed_at is None else None))
    if user is None or not address:
        return
    link, expires = _token_link(session, services, user, recovery.CONFIRM_EMAIL, address)
    _mail(session, services, "confirm_email", user, address, to_confirm=address, link=link, expires=expires)


def mail_password_reset(session: Session, event: Event, services: Services) -> None:
    """A link that sets a new password."""
    user = session.get(User, event.subject_id)
    if user is None or user.email is None:
        return
    link, expires = _token_link(session, services, user, recovery.RESET_PASSWORD, user.email)
    _mail(session, services, "password_reset", user, user.email, link=link, expires=expires)


def warn_old_address(session: Session, event: Event, services: Services) -> None:
    """Tells the address that still counts that another one is about to take its place."""
    user = session.get(User, event.subject_id)
    if user is None or user.email is None or user.pending_email is None:
        return
    _mail(session, services, "email_change_notice", user, user.email, new_email=user.pending_email)


def mail_password_changed(session: Session, event: Event, services: Services) -> None:
    user = session.get(User, event.subject_id)
    if user is not None and user.email is not None:
        _mail(session, services, "password_changed", user, user.email, moment=event.date_created)


def mail_session_theft(session: Session, event: Event, services: Services) -> None:
    """Tells the owner that a used refresh token came back, and which device it was made for."""
    row = session.get(AccountSession, event.subject_id)
    user = session.get(User, row.user_id) if row is not None else None
    if row is None or user is None or user.email is None:
        return
    device = f" ({row.device})" if row.device else ""
    _mail(session, services, "session_theft", user, user.email, moment=event.date_created, device_text=device)


def mail_deactivated(session: Session, event: Event, services: Services) -> None:
    """Says until when the account can be had back; nothing, if it was had back already."""
    user = session.get(User, event.subject_id)
    if user is None or user.email is None or user.state != "deactivated" or user.deactivated_at is None:
        return
    erased_on = user.deactivated_at + timedelta(days=services.settings.erase_days)
    _mail(session, services, "account_deactivated", user, user.email, erased_on=erased_on)


def refresh_search_terms(session: Session, _event: Event, _services: Services) -> None:
    """Folds the changes of listings into the terms that suggestions offer."""
    while search.compact_terms(session, TERMS_BATCH):
        session.commit()


def clear_files(session: Session, _event: Event, services: Services) -> None:
    """Deletes the files that are of no use any more."""
    while store.clear(session, services.storage, datetime.now(UTC)):
        pass


def erase_files(session: Session, event: Event, services: Services) -> None:
    """Deletes the photos and the picture of an account that was erased."""
    user = session.get(User, event.subject_id)
    if user is None or user.state != "erased":
        return
    photos.forget_all(session, user.user_id)
    pictures.let_go(session, user.user_id)
    session.commit()
    clear_files(session, event, services)


HANDLERS: Mapping[str, tuple[Handler, ...]] = {
    EventType.USER_REGISTERED: (mail_confirmation,),
    EventType.USER_EMAIL_CHANGE_REQUESTED: (mail_confirmation, warn_old_address),
    EventType.USER_EMAIL_CONFIRMATION_REQUESTED: (mail_confirmation,),
    EventType.USER_PASSWORD_RESET_REQUESTED: (mail_password_reset,),
    EventType.USER_PASSWORD_CHANGED: (mail_password_changed,),
    EventType.USER_PICTURE_CHANGED: (clear_files,),
    EventType.USER_ERASED: (erase_files,),
    EventType.LISTING_PHOTOS_CHANGED: (clear_files,),
    EventType.USER_DEACTIVATED: (mail_deactivated,),
    EventType.SESSION_REUSE_DETECTED: (mail_session_theft,),
    EventType.LISTING_CREATED: (refresh_search_terms,),
    EventType.LISTING_EDITED: (refresh_search_terms,),
    EventType.LISTING_STATUS_CHANGED: (refresh_search_terms,),
    EventType.LISTING_DELETED: (refresh_search_terms,),
    EventType.LISTING_RESTORED: (refresh_search_terms,),
    EventType.LISTING_IMPORTED: (refresh_search_terms,),
}
"""When an event of this type is recorded, each of its handlers becomes one job."""

DEBOUNCED: frozenset[Handler] = frozenset({clear_files, refresh_search_terms})
"""Handlers that look at no particular event, so that one waiting job stands for any number of events."""

BY_NAME: Mapping[str, Handler] = {handler.__name__: handler for handlers in HANDLERS.values() for handler in handlers}
"""Jobs name their handler, so a renamed one must keep its old name here until the queue has drained."""


def _token_link(session: Session, services: Services, user: User, purpose: str, email: str) -> tuple[str, datetime]:
    """A link with a fresh token and when it ends; the link is the only place that ever holds the token itself."""
    settings = services.settings
    template = settings.reset_link if purpose == recovery.RESET_PASSWORD else settings.confirm_link
    now, lifetime = datetime.now(UTC), LIFETIMES[purpose]
    token = recovery.issue_token(session, user.user_id, purpose, email, now, lifetime)
    link = template.replace("{public_url}", settings.public_url.rstrip("/")).replace("{token}", token)
    return link, now + lifetime


def _mail(session: Session, services: Services, name: str, user: User, to: str, **context: Any) -> None:
    settings = services.settings
    user_id = user.user_id
    message = render(
        name,
        sender=settings.email_from,
        to=to,
        username=user.username,
        public_url=settings.public_url,
        **context,
    )
    # The token in the mail must work the moment that it arrives, so its row is committed first.
    session.commit()
    try:
        services.mailer.send(message)
    except PermanentDeliveryError as error:
        log.warning("mail.refused", mail=name, user_id=user_id, reason=str(error))
    else:
        log.info("mail.sent", mail=name, user_id=user_id)
