"""The light rows that reading a report gives, and what the caller has reported before."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database.base import table_of
from marketplace_api.database.prepared import Prepared, Reader
from marketplace_api.domain.identity.accounts.queries import LIVING
from marketplace_api.errors import NotFound, PreconditionFailed
from marketplace_api.models.catalog.listings import Listing
from marketplace_api.models.community.conversations import Message
from marketplace_api.models.community.reviews import Review
from marketplace_api.models.identity.accounts import User
from marketplace_api.models.trust.reports import Report

REPORTS = table_of(Report)
_reporter, _reported, _assignee = (table_of(User).alias(name) for name in ("reporter", "reported", "assignee"))
_listing, _review, _message = table_of(Listing), table_of(Review), table_of(Message)

MOST_COUNTED = 1_000
"""Reports of one subject are counted up to here."""


def columns(report: sa.FromClause, viewer: sa.ColumnElement[int]) -> tuple[sa.ColumnElement[Any], ...]:
    """What every representation of a report is made from, for the account ``viewer``.

    ``subject_title`` is the listing's title, the person's name or the beginning of the review; ``subject_status`` its
    state. ``message_content`` is there only for whom the report is assigned to, for to be assigned is on record;
    ``message_is_open`` tells whether the viewer may decide what becomes of the message.
    """
    own = report.c
    alive = sa.or_(*(_reported.c.state == sa.literal_column(f"'{state}'") for state in LIVING))
    kind = own.subject_type
    return (
        own.report_id,
        own.reporter_id,
        own.subject_type,
        own.subject_id,
        own.reported_id,
        own.reason,
        own.comment,
        own.state,
        own.stage,
        own.assignee_id,
        own.decision_reason,
        own.date_created,
        own.date_updated,
        own.date_decided,
        own.version,
        _reporter.c.username.label("reporter_username"),
        _reported.c.username.label("reported_username"),
        _assignee.c.username.label("assignee_username"),
        sa.case(
            (kind == "listing", _listing.c.title),
            (kind == "user", _reported.c.username),
            (kind == "review", sa.func.left(_review.c.comment, 200)),
        ).label("subject_title"),
        sa.case(
            (
                sa.func.coalesce(_listing.c.deleted_at, _review.c.deleted_at, _message.c.deleted_at).is_not(None),
                "deleted",
            ),
            (kind == "listing", _listing.c.status),
            (kind == "user", _reported.c.state),
            (kind == "review", "published"),
            (_message.c.message_id.is_not(None), "sent"),
            else_="deleted",
        ).label("subject_status"),
        sa.case(
            (kind == "listing", _listing.c.is_public),
            (kind == "user", alive),
            (kind == "review", _review.c.deleted_at.is_(None)),
            else_=sa.false(),
        ).label("subject_is_public"),
        sa.case((own.assignee_id == viewer, _message.c.content)).label("message_content"),
        sa.and_(_message.c.message_id.is_not(None), own.reporter_id.is_distinct_from(viewer)).label("message_is_open"),
    )


def with_relations(report: sa.FromClause) -> sa.FromClause:
    """``report`` with what it is about and who has to do with it."""
    own = report.c

    def subject(kind: str, key: sa.ColumnElement[int]) -> sa.ColumnElement[bool]:
        return sa.and_(own.subject_type == sa.literal_column(f"'{kind}'"), key == own.subject_id)

    return (
        report.join(_reported, _reported.c.user_id == own.reported_id)
        .outerjoin(_reporter, _reporter.c.user_id == own.reporter_id)
        .outerjoin(_assignee, _assignee.c.user_id == own.assignee_id)
        .outerjoin(_listing, subject("listing", _listing.c.listing_id))
        .outerjoin(_review, subject("review", _review.c.review_id))
        .outerjoin(_message, subject("message", _message.c.message_id))
    )


def viewer() -> sa.BindParameter[int]:
    return sa.bindparam("viewer_id", type_=sa.BigInteger)


_FIND = (
    sa.select(*columns(REPORTS, viewer()))
    .select_from(with_relations(REPORTS))
    .where(REPORTS.c.report_id == sa.bindparam("report_id", type_=sa.BigInteger))
)

_MADE = sa.text(
    "SELECT subject_id, report_id FROM reports WHERE reporter_id = :reporter_id AND subject_type = :subject_type "
    "AND subject_id = ANY(CAST(:subject_ids AS bigint[]))"
)

_COUNTS = Prepared(
    sa.text(
        """
        SELECT wanted.subject_type, wanted.subject_id, (
            SELECT count(*) FROM (
                SELECT FROM reports
                WHERE reports.subject_type = wanted.subject_type AND reports.subject_id = wanted.subject_id
                LIMIT :cap
            ) AS counted
        ) AS report_count
        FROM unnest(CAST(:types AS text[]), CAST(:ids AS bigint[])) AS wanted (subject_type, subject_id)
        """
    )
)


def find(db: Reader, report_id: int, viewer_id: int | None) -> Any | None:
    """The row of one report as an account sees it, or ``None``; the caller asks the ACL who may see it."""
    return db.execute(_FIND, {"report_id": report_id, "viewer_id": viewer_id}).first()


def reported_by(db: Reader, reporter_id: int, subject_type: str, subject_ids: Collection[int]) -> dict[int, int]:
    """The reports that ``reporter_id`` made of these subjects: subject id to report id."""
    if not subject_ids:
        return {}
    values = {"reporter_id": reporter_id, "subject_type": subject_type, "subject_ids": list(subject_ids)}
    return {row.subject_id: row.report_id for row in db.execute(_MADE, values)}


def counts(db: Reader, reports: Collection[Any]) -> dict[tuple[str, int], int]:
    """How many reports there are of what these are about, up to :data:`MOST_COUNTED`: by type and id, in one query."""
    subjects = sorted({(row.subject_type, row.subject_id) for row in reports})
    if not subjects:
        return {}
    types, ids = [kind for kind, _ in subjects], [subject_id for _, subject_id in subjects]
    found = _COUNTS.all(db, {"types": types, "ids": ids, "cap": MOST_COUNTED})
    return {(row.subject_type, row.subject_id): row.report_count for row in found}


_LOCK = sa.select(
    REPORTS.c.report_id,
    REPORTS.c.reporter_id,
    REPORTS.c.reported_id,
    REPORTS.c.subject_type,
    REPORTS.c.subject_id,
    REPORTS.c.state,
    REPORTS.c.assignee_id,
    REPORTS.c.version,
)


def lock(session: Session, report_id: int, expected_version: int | None, others: Sequence[int] = ()) -> list[Any]:
    """The report and then ``others``, held until the transaction ends.

    All are locked in the order of their ids, so that two who decide at once never wait for each other in a circle.
    Raises NotFound, and PreconditionFailed when the version of the first is not the expected one.
    """
    wanted = sa.bindparam("wanted", value=[report_id, *others], type_=sa.ARRAY(sa.BigInteger))
    statement = _LOCK.where(REPORTS.c.report_id == sa.any_(wanted)).order_by(REPORTS.c.report_id).with_for_update()
    held = session.execute(statement).all()
    first = next((row for row in held if row.report_id == report_id), None)
    if first is None:
        raise NotFound("There is no such report.")
    if expected_version is not None and expected_version != first.version:
        raise PreconditionFailed("It changed since you read it; `current` shows what it is now.")
    return [first, *(row for row in held if row is not first)]
