"""What hangs on a change of listings: the terms that suggestions offer."""

from __future__ import annotations

from sqlalchemy.orm import Session

from marketplace_api.domain.catalog import search
from marketplace_api.jobs.services import Services
from marketplace_api.models.kernel.events import Event

TERMS_BATCH = 5_000


def refresh_search_terms(session: Session, _event: Event, _services: Services) -> None:
    """Folds the changes of listings into the terms that suggestions offer."""
    while search.compact_terms(session, TERMS_BATCH):
        session.commit()
