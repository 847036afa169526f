"""What hangs on a change of preferences: deliveries that wait."""

from __future__ import annotations

from sqlalchemy.orm import Session

from marketplace_api.domain.outbound.notifications import rescheduling
from marketplace_api.jobs.services import Services
from marketplace_api.models.kernel.events import Event

_HOURS = frozenset({"quiet_hours", "digest"})
"""Preferences that say when something goes."""


def reschedule_deliveries(session: Session, event: Event, _services: Services) -> None:
    """Has what waits for somebody's quiet hours or digest looked at again, once those are others."""
    if event.subject_id is not None and not _HOURS.isdisjoint(event.new.get("fields", ())):
        rescheduling.reschedule(session, event.subject_id)
