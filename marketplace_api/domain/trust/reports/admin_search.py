"""Looking through all reports, whatever their state, for operators.

Whom a report is about does not find it here either, where an operator acts under an account of their own.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from marketplace_api.database.prepared import Reader
from marketplace_api.domain.trust.reports import queries
from marketplace_api.errors import NotFound

_r = queries.REPORTS.c


@dataclass(frozen=True, slots=True)
class Criteria:
    """Which reports: all of these at once. ``assignee_id`` 0 means those that nobody works on.

    ``since`` and ``until`` are when they were made; ``by_number`` puts those first whose subject most of them are
    about, else the oldest come first.
    """

    states: tuple[str, ...] = ()
    subject_type: str | None = None
    subject_id: int | None = None
    reason: str | None = None
    assignee_id: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    by_number: bool = False


def list_page(db: Reader, viewer_id: int | None, sought: Criteria, *, limit: int = 50, after: int = 0) -> Sequence[Any]:
    """Reports from after the id ``after`` on, at most ``limit``, as rows of ``queries.columns`` and ``of_subject``: how
    many of those that were sought are about the same."""
    of_subject = sa.func.count().over(partition_by=(_r.subject_type, _r.subject_id)).label("of_subject")
    matching = sa.select(queries.REPORTS, of_subject).where(*_matches(viewer_id, sought)).subquery("matching")
    chosen = sa.select(matching).where(matching.c.report_id > after)
    report = chosen.order_by(*_order(matching, sought)).limit(limit).subquery("report")
    statement = (
        sa.select(*queries.columns(report, queries.viewer()), report.c.of_subject)
        .select_from(queries.with_relations(report))
        .order_by(*_order(report, sought))
    )
    result: Sequence[Any] = db.execute(statement, {"viewer_id": viewer_id or 0}).all()
    return result


def find(db: Reader, report_id: int, viewer_id: int | None) -> Any:
    """One report with all that ``queries.columns`` tell; raises NotFound, also for whom it is about."""
    row = queries.find(db, report_id, viewer_id)
    if row is None or (viewer_id is not None and row.reported_id == viewer_id):
        raise NotFound(f"There is no report {report_id}.")
    return row


def _order(source: sa.FromClause, sought: Criteria) -> list[sa.ColumnElement[Any]]:
    own = source.c
    by_number = [own.of_subject.desc(), own.subject_type, own.subject_id] if sought.by_number else []
    return [*by_number, own.report_id]


def undecided_of_same(db: Reader, viewer_id: int | None, report_ids: Collection[int]) -> int:
    """How many undecided reports are about the subjects of these, beside themselves; without ``viewer_id``'s own."""
    named = sa.bindparam("report_ids", value=list(report_ids), type_=sa.ARRAY(sa.BigInteger))
    subjects = sa.select(_r.subject_type, _r.subject_id).where(_r.report_id == sa.any_(named))
    same = sa.tuple_(_r.subject_type, _r.subject_id).in_(subjects)
    others = sa.and_(_r.report_id != sa.all_(named), _r.reporter_id.is_distinct_from(viewer_id or 0))
    statement = sa.select(sa.func.count()).where(same, _r.stage <= 1, others)
    return int(db.execute(statement).scalar_one())


def _matches(viewer_id: int | None, sought: Criteria) -> list[sa.ColumnElement[bool]]:
    met = [_r.reported_id != (viewer_id or 0)]
    if sought.states:
        met.append(_r.state.in_(sought.states))
    for name in ("subject_type", "subject_id", "reason"):
        if getattr(sought, name) is not None:
            met.append(_r[name] == getattr(sought, name))
    if sought.assignee_id is not None:
        met.append(_r.assignee_id == sought.assignee_id if sought.assignee_id else _r.assignee_id.is_(None))
    if sought.since is not None:
        met.append(_r.date_created >= sought.since)
    if sought.until is not None:
        met.append(_r.date_created < sought.until)
    return met
