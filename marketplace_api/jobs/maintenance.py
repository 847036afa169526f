"""Handlers that look after what hangs on a change: files that go, terms that suggestions offer, letters that wait."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy.orm import Session

from marketplace_api.domain.catalog import photos, search, videos
from marketplace_api.domain.identity.accounts import pictures
from marketplace_api.domain.media.files import store
from marketplace_api.domain.outbound.notifications import rescheduling
from marketplace_api.jobs.services import Services
from marketplace_api.models.identity.accounts import User
from marketplace_api.models.kernel.events import Event

TERMS_BATCH = 5_000
_HOURS = frozenset({"quiet_hours", "digest"})
"""Preferences that say when something goes."""


def refresh_search_terms(session: Session, _event: Event, _services: Services) -> None:
    """Folds the changes of listings into the terms that suggestions offer."""
    while search.compact_terms(session, TERMS_BATCH):
        session.commit()


def reschedule_deliveries(session: Session, event: Event, _services: Services) -> None:
    """Has what waits for somebody's quiet hours or digest looked at again, once those are others."""
    if event.subject_id is not None and not _HOURS.isdisjoint(event.new.get("fields", ())):
        rescheduling.look_anew(session, event.subject_id)


def clear_files(session: Session, _event: Event, services: Services) -> None:
    """Deletes the files that are of no use any more."""
    while store.clear(session, services.storage, datetime.now(UTC)):
        pass


def erase_files(session: Session, event: Event, services: Services) -> None:
    """Deletes photos, videos and the picture of an account that was erased, and the documents that it let go of."""
    user = session.get(User, event.subject_id)
    if user is None or user.state != "erased":
        return
    photos.forget_all(session, user.user_id)
    videos.forget_all(session, user.user_id)
    pictures.let_go(session, user.user_id)
    session.commit()
    clear_files(session, event, services)
