"""Reading the event log: newest first, by whom, what, when and what about; whatever is asked, an index leads there.

The log is in the order of its ids. Times follow it only nearly, for an event bears the time at which its transaction
began: so a time is first turned into ids, with an hour to spare, and then held against each event.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from marketplace_api.database.base import table_of
from marketplace_api.database.prepared import Reader
from marketplace_api.domain.kernel import paging
from marketplace_api.domain.kernel.paging import Page, PageRequest, assemble, decode_cursor, fingerprint, offset_of
from marketplace_api.models.identity.accounts import User
from marketplace_api.models.kernel.events import Event

LONGEST_TRANSACTION = timedelta(hours=1)
"""No event is recorded later than this after its transaction began."""
WALK = 5_000

_e = table_of(Event).c
_BIGINT, _MOMENT = sa.BigInteger(), sa.DateTime(timezone=True)
_FILTERS = ("subject_type", "subject_id", "actor_id", "type")


@dataclass(frozen=True, slots=True)
class Criteria:
    """Which events: all of these at once. ``type`` may be one or any of several; ``since`` (included) and ``until`` (not
    included) are aware."""

    subject_type: str | None = None
    subject_id: int | None = None
    actor_id: int | None = None
    type: str | tuple[str, ...] | None = None
    since: datetime | None = None
    until: datetime | None = None


def find(db: Reader, event_id: int) -> Any | None:
    """One event, or ``None``."""
    return db.execute(sa.select(*_e).where(_e.event_id == event_id)).first()


def list_page(db: Reader, wanted: Criteria, page: PageRequest) -> Page:
    """One part of the log, newest first. Raises ``Invalid``: ``invalid_cursor``, ``page_too_deep``."""
    list_hash = fingerprint("events", wanted)
    position = decode_cursor(page.cursor, list_hash, (int,)) if page.cursor else None
    given = _given_criteria(wanted)
    values = given | {
        "count": page.limit + 1,
        "offset": 0 if position else offset_of(page),
        "cap": paging.TOTAL_CAP + 1,
    }
    # A span of ids, always: so the planner meets one question, whose answer is a walk along an index.
    values["low"], values["high"] = span(db, wanted)
    if position:
        values["key"] = position.keys[0]
    statement = _statement(tuple(given), position is not None, position is not None and position.backward)
    found = db.execute(statement, values).all()
    kept = [row for row in found if row.event_id is not None]
    return assemble(kept, page, position, list_hash, lambda row: (row.event_id,), total=found[0].total)


def newest(db: Reader, wanted: Criteria, limit: int) -> Sequence[Any]:
    """The newest of these events, at most ``limit``, oldest first."""
    statement, values = _statement_and_values(db, wanted)
    rows: Sequence[Any] = db.execute(statement.order_by(_e.event_id.desc()).limit(limit), values).all()
    return rows[::-1]


def top_id(db: Reader) -> int:
    """The highest id in the log, 0 while it is empty."""
    highest: int = db.execute(sa.select(sa.func.coalesce(sa.func.max(_e.event_id), 0))).scalar_one()
    return highest


def walk(db: Reader, wanted: Criteria, top: int) -> Iterator[Sequence[Any]]:
    """These events up to the id ``top``, oldest first, in parts of :data:`WALK`; ``db`` in no transaction, so that none
    lasts as long as the way through the log."""
    statement, values = _statement_and_values(db, wanted)
    key = sa.bindparam("key", type_=_BIGINT)
    part = statement.where(_e.event_id > key, _e.event_id <= top).order_by(_e.event_id).limit(WALK)
    last = 0
    while rows := db.execute(part, {**values, "key": last}).all():
        yield rows
        last = rows[-1].event_id


def names(db: Reader, user_ids: Collection[int]) -> Mapping[int, str]:
    """The user names of these accounts as they are now; those that are no more are left out."""
    if not user_ids:
        return {}
    found = sa.select(User.user_id, User.username).where(User.user_id.in_(sorted(user_ids)))
    return {row.user_id: row.username for row in db.execute(found)}


def span(db: Reader, wanted: Criteria) -> tuple[int, int]:
    """Ids that no event of the wanted time lies outside of.

    What was recorded more than the longest transaction before ``since`` has a smaller id than all that bears a later
    time; and the other way round.
    """
    low, high = 0, 2**63 - 1
    if wanted.since is not None:
        # The database calculates: its times reach farther than Python's.
        before = sa.select(_e.event_id).where(_e.date_created < _moment(wanted.since) - LONGEST_TRANSACTION)
        low = db.execute(before.order_by(_e.date_created.desc(), _e.event_id.desc()).limit(1)).scalar() or low
    if wanted.until is not None:
        after = sa.select(_e.event_id).where(_e.date_created >= _moment(wanted.until) + LONGEST_TRANSACTION)
        high = db.execute(after.order_by(_e.date_created, _e.event_id).limit(1)).scalar() or high
    return low, high


def _moment(time: datetime) -> sa.BindParameter[datetime]:
    return sa.literal(time, _MOMENT)


def _statement_and_values(db: Reader, wanted: Criteria) -> tuple[sa.Select[Any], dict[str, Any]]:
    """All of these events, and the values that the statement is run with."""
    given = _given_criteria(wanted)
    values = given.copy()
    if "since" in given or "until" in given:
        values["low"], values["high"] = span(db, wanted)
    return sa.select(*_e).where(*_conditions(tuple(given))), values


def _given_criteria(wanted: Criteria) -> dict[str, Any]:
    given = {name: getattr(wanted, name) for name in (*_FILTERS, "since", "until") if getattr(wanted, name) is not None}
    if isinstance(wanted.type, tuple):
        given["types"] = list(given.pop("type"))
    return given


def _number(name: str) -> sa.BindParameter[int]:
    return sa.bindparam(name, type_=_BIGINT)


def _conditions(given: tuple[str, ...]) -> list[sa.ColumnElement[bool]]:
    matches = [_e[name] == sa.bindparam(name, type_=_e[name].type) for name in _FILTERS if name in given]
    if "types" in given:
        matches.append(_e.type == sa.any_(sa.bindparam("types", type_=sa.ARRAY(sa.Text))))
    if "since" in given or "until" in given:
        matches += [_e.event_id > _number("low"), _e.event_id < _number("high")]
    if "since" in given:
        matches.append(_e.date_created >= sa.bindparam("since", type_=_MOMENT))
    if "until" in given:
        matches.append(_e.date_created < sa.bindparam("until", type_=_MOMENT))
    return matches


@lru_cache(maxsize=128)
def _statement(given: tuple[str, ...], keyed: bool, backward: bool) -> sa.Select[Any]:
    matches = _conditions(given)
    chosen = sa.select(*_e).where(*matches)
    if keyed:
        chosen = chosen.where(_e.event_id > _number("key") if backward else _e.event_id < _number("key"))
    order = _e.event_id.asc() if backward else _e.event_id.desc()
    shown = chosen.order_by(order).limit(_number("count")).offset(_number("offset")).subquery("shown")
    hits: sa.Select[Any] = (
        sa.select(sa.literal_column("1")).select_from(table_of(Event)).where(*matches).limit(_number("cap"))
    )
    counted = sa.select(sa.func.count().label("total")).select_from(hits.subquery("hits")).subquery("counted")
    ends = shown.c.event_id.asc() if backward else shown.c.event_id.desc()
    return sa.select(counted.c.total, *shown.c).select_from(counted.outerjoin(shown, sa.true())).order_by(ends)
