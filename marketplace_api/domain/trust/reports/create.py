"""Making a report. Events name ids and the reason from the list, never what was written: the log outlives both."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from marketplace_api.domain.catalog.listings import queries as listing_rows
from marketplace_api.domain.community.conversations import queries as message_rows
from marketplace_api.domain.community.reviews import queries as review_rows
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.kernel.events import EventType, record
from marketplace_api.domain.trust.reports import policy, queries
from marketplace_api.models.identity.accounts import User
from marketplace_api.models.trust.reports import Report


def create(
    session: Session, actor: Actor, *, subject_type: str, subject_id: int, reason: str, comment: str = ""
) -> Any:
    """A new report by ``actor``; returns its row.

    Raises NotFound or Gone for what is not there or must not be known to ``actor``, Forbidden ``own_report``, and
    Conflict ``already_reported``.
    """
    case = _case(session, actor, subject_type, subject_id)
    refused = policy.refusal(actor, case)
    if refused is not None:
        raise refused
    values = {
        "reporter_id": actor.user_id,
        "subject_type": subject_type,
        "subject_id": subject_id,
        "reported_id": case.reported_id,
        "reason": reason,
        "comment": comment,
    }
    # Who is second waits for the first, and finds its report.
    inserted = (
        postgresql.insert(Report)
        .values(values)
        .on_conflict_do_nothing(index_elements=["reporter_id", "subject_type", "subject_id"])
        .returning(Report.report_id)
    )
    report_id = session.execute(inserted).scalar()
    if report_id is None:
        raise policy.already_reported(
            queries.reported_by(session, actor.user_id or 0, subject_type, [subject_id])[subject_id]
        )
    new = {name: values[name] for name in ("reporter_id", "subject_type", "subject_id", "reported_id", "reason")}
    record(session, actor, EventType.REPORT_MADE, report_id, new=new)
    return queries.find(session, report_id, actor.user_id)


def _case(session: Session, actor: Actor, subject_type: str, subject_id: int) -> policy.Case:
    match subject_type:
        case "listing":
            return policy.of_listing(subject_id, listing_rows.find(session, subject_id), actor)
        case "user":
            state = sa.select(User.state).where(User.user_id == subject_id)
            return policy.of_person(subject_id, session.execute(state).scalar())
        case "message":
            return policy.of_message(subject_id, message_rows.find_message(session, subject_id, actor.user_id or 0))
        case _:
            return policy.of_review(subject_id, review_rows.find(session, subject_id), actor)
