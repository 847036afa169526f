"""The moderators' queue: what waits for anybody first, then what somebody works on, each the oldest first.

Whom a report is about does not find it here, moderator or not: that might tell them who made it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from marketplace_api.database.prepared import Reader
from marketplace_api.domain.kernel import paging
from marketplace_api.domain.kernel.paging import Page, PageRequest, assemble, decode_cursor, fingerprint, offset_of
from marketplace_api.domain.trust.reports import queries
from marketplace_api.models.trust.reports import STATES

_r = queries.REPORTS.c


@dataclass(frozen=True, slots=True)
class Criteria:
    """Which reports: all of these at once. ``assignee_id`` 0 means those that nobody works on."""

    states: tuple[str, ...] = ()
    subject_type: str | None = None
    subject_id: int | None = None
    assignee_id: int | None = None


def list_page(db: Reader, viewer_id: int | None, wanted: Criteria, page: PageRequest) -> Page:
    """One part of the queue, as rows of ``queries.columns``. Raises ``Invalid``: ``invalid_cursor``, ``page_too_deep``."""
    list_hash = fingerprint("reports", viewer_id, wanted)
    position = decode_cursor(page.cursor, list_hash, (int, int)) if page.cursor else None
    values: dict[str, Any] = {
        "viewer_id": viewer_id or 0,
        "count": page.limit + 1,
        "offset": 0 if position else offset_of(page),
        "cap": paging.TOTAL_CAP + 1,
        "subject_type": wanted.subject_type,
        "subject_id": wanted.subject_id,
        "assignee_id": wanted.assignee_id,
    }
    if position:
        values |= {"stage": position.keys[0], "report_id": position.keys[1]}
    statement = _statement(
        wanted.states, _given_criteria(wanted), position is not None, position is not None and position.backward
    )
    used = {name: value for name, value in values.items() if value is not None}
    found = db.execute(statement, used).all()
    kept = [row for row in found if row.report_id is not None]
    return assemble(kept, page, position, list_hash, lambda row: (row.stage, row.report_id), total=found[0].total)


_WAITING = sa.text(
    "SELECT count(*) FROM (SELECT FROM reports WHERE stage <= 1 AND reported_id <> :viewer_id LIMIT :cap) AS waiting"
)


def waiting(db: Reader, viewer_id: int | None) -> int:
    """How many reports are not decided yet, counted to one beyond ``paging.TOTAL_CAP``."""
    number: int = db.execute(_WAITING, {"viewer_id": viewer_id or 0, "cap": paging.TOTAL_CAP + 1}).scalar()
    return number


def _given_criteria(wanted: Criteria) -> tuple[str, ...]:
    """The names of the filters that are used."""
    names = [name for name in ("subject_type", "subject_id") if getattr(wanted, name) is not None]
    if wanted.assignee_id is not None:
        names.append("assignee_id" if wanted.assignee_id else "nobody")
    return tuple(names)


@lru_cache(maxsize=256)
def _statement(states: tuple[str, ...], given: tuple[str, ...], keyed: bool, backward: bool) -> sa.Select[Any]:
    def number(name: str) -> sa.BindParameter[int]:
        return sa.bindparam(name, type_=sa.BigInteger)

    matches = [_r.reported_id != queries.viewer(), *_in(states)]
    matches += [_r[name] == sa.bindparam(name, type_=_r[name].type) for name in given if name != "nobody"]
    matches += [_r.assignee_id.is_(None)] if "nobody" in given else []
    place = sa.tuple_(_r.stage, _r.report_id)
    beyond = sa.tuple_(number("stage"), number("report_id"))
    chosen = sa.select(queries.REPORTS).where(*matches)
    if keyed:
        chosen = chosen.where(place < beyond if backward else place > beyond)
    order = (_r.stage.desc(), _r.report_id.desc()) if backward else (_r.stage, _r.report_id)
    # The page is chosen before anything is joined to it, so that skipped rows stay cheap.
    report = chosen.order_by(*order).limit(number("count")).offset(number("offset")).subquery("report")
    shown = (
        sa.select(*queries.columns(report, queries.viewer()))
        .select_from(queries.with_relations(report))
        .subquery("shown")
    )
    hits: sa.Select[Any] = (
        sa.select(sa.literal_column("1")).select_from(queries.REPORTS).where(*matches).limit(number("cap"))
    )
    counted = sa.select(sa.func.count().label("total")).select_from(hits.subquery("hits")).subquery("counted")
    ends = (shown.c.stage.desc(), shown.c.report_id.desc()) if backward else (shown.c.stage, shown.c.report_id)
    return sa.select(counted.c.total, *shown.c).select_from(counted.outerjoin(shown, sa.true())).order_by(*ends)


def _in(states: tuple[str, ...]) -> list[sa.ColumnElement[bool]]:
    """The states as stages: as a range too, which is what an index can walk in order."""
    stages = sorted(STATES.index(state) for state in states)
    if not stages:
        return []
    literals: list[Any] = [sa.literal_column(str(stage)) for stage in stages]
    return [_r.stage >= literals[0], _r.stage <= literals[-1], sa.or_(*(_r.stage == literal for literal in literals))]
