"""What goes with an account that was erased."""

from __future__ import annotations

from sqlalchemy.orm import Session

from marketplace_api.domain.catalog import photos, videos
from marketplace_api.domain.identity.accounts import pictures
from marketplace_api.jobs.media.maintenance import clear_files
from marketplace_api.jobs.services import Services
from marketplace_api.models.identity.accounts import User
from marketplace_api.models.kernel.events import Event


def erase_files(session: Session, event: Event, services: Services) -> None:
    """Deletes photos, videos and the picture of an account that was erased, and the documents that it let go of."""
    user = session.get(User, event.subject_id)
    if user is None or user.state != "erased":
        return
    photos.forget_all(session, user.user_id)
    videos.forget_all(session, user.user_id)
    pictures.release(session, user.user_id)
    session.commit()
    clear_files(session, event, services)
