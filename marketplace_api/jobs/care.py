"""Handlers that look after what hangs on a change: files that go, terms that suggestions offer."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy.orm import Session

from marketplace_api.domain import search
from marketplace_api.domain.files import photos, pictures, store, videos
from marketplace_api.jobs.services import Services
from marketplace_api.models.accounts import User
from marketplace_api.models.events import Event

TERMS_BATCH = 5_000


def refresh_search_terms(session: Session, _event: Event, _services: Services) -> None:
    """Folds the changes of listings into the terms that suggestions offer."""
    while search.compact_terms(session, TERMS_BATCH):
        session.commit()


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
