"""Reports for tests, written by the domain itself."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from marketplace_api.domain.trust.reports import create
from marketplace_api.models.identity.accounts import User
from tests.factories.reviews import actor_of


def make_report(session: Session, reporter: User, subject_type: str, subject_id: int, **values: Any) -> Any:
    """A report by ``reporter``, committed; returns its row."""
    fields = {"reason": "fraud", "comment": "It never came.", **values}
    row = create.create(session, actor_of(reporter), subject_type=subject_type, subject_id=subject_id, **fields)
    session.commit()
    return row
