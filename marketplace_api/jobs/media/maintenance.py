"""Files that are of no use any more."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy.orm import Session

from marketplace_api.domain.media.files import store
from marketplace_api.jobs.services import Services
from marketplace_api.models.kernel.events import Event


def clear_files(session: Session, _event: Event, services: Services) -> None:
    """Deletes the files that are of no use any more."""
    while store.clear(session, services.storage, datetime.now(UTC)):
        pass
