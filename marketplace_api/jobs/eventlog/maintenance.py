"""What the clock does with the event log: months are made ahead, those that need not be kept go."""

from __future__ import annotations

import structlog
from sqlalchemy.orm import Session

from marketplace_api.domain.eventlog import event_partitions
from marketplace_api.domain.kernel.actors import operator
from marketplace_api.jobs.services import Services

log = structlog.get_logger(__name__)


def keep_event_months(session: Session, services: Services) -> None:
    """Makes the next months of the event log, and drops those that are older than EVENTS_KEEP_MONTHS."""
    made = event_partitions.create(session)
    session.commit()
    if made:
        log.info("events.months_made", count=made)
    keep = services.settings.events_keep_months
    while keep and (month := event_partitions.drop_oldest(session, operator("worker"), keep)):
        session.commit()
        log.info("events.month_dropped", month=month)
