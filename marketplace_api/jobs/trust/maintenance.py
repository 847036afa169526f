"""What the clock does with verifications: approvals end, documents go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy.orm import Session

from marketplace_api.domain.trust.verifications import decisions, documents
from marketplace_api.jobs.services import Services

log = structlog.get_logger(__name__)


def expire_verifications(session: Session, _services: Services) -> None:
    """Ends approvals whose time is over; their accounts are not verified any more."""
    while expired := decisions.expire_due(session, datetime.now(UTC)):
        session.commit()
        log.info("verifications.expired", count=expired)


def purge_documents(session: Session, services: Services) -> None:
    """Deletes the documents of verifications that were decided about long enough ago."""
    decided_before = datetime.now(UTC) - timedelta(days=services.settings.document_keep_days)
    while purged := documents.purge_due(session, decided_before):
        session.commit()
        log.info("documents.purged", count=purged)
