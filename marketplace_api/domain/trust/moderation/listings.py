"""Moderation of many listings at once: the steps of the workflow, deletion and restoring, set by set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from marketplace_api.database.base import table_of
from marketplace_api.database.prepared import Reader
from marketplace_api.domain.catalog.listings import editing, workflow
from marketplace_api.domain.catalog.listings.workflow import LISTING_WORKFLOW
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.kernel.events import Entry, EventType, record_quietly
from marketplace_api.domain.trust.moderation.results import Done, PreviewCounts, Result, count_preview
from marketplace_api.models.catalog.listings import Listing

ACTIONS = ("suspend", "reinstate", "verify", "reject", "delete", "restore")

_OWN = "Nobody decides on their own listing."

_t = table_of(Listing)
_l = _t.c
_IDS = sa.bindparam("ids", type_=postgresql.ARRAY(sa.BigInteger))

# What moderation can change of a listing, and so what can be put back.
_KEPT = (
    "status",
    "suspended_from",
    "status_reason",
    "is_verified_listing",
    "review_requested_at",
    "deleted_at",
    "date_updated",
    "verified_price",
)

# In one order, so that two that work on the same listings wait for each other instead of in a circle.
_LOCK = (
    sa.select(_l.listing_id, _l.user_id, _l.version, *(_l[name] for name in _KEPT), sa.func.now().label("now"))
    .where(_l.listing_id == sa.any_(_IDS))
    .order_by(_l.listing_id)
    .with_for_update()
)
_RETURNED = (_l.listing_id, _l.version, _l.status, _l.is_verified_listing)


def act(session: Session, actor: Actor, action: str, reason: str, ids: Sequence[int]) -> list[Result]:
    """Do ``action``, one of :data:`ACTIONS`, to each of these listings that is in a state for it; one result each."""
    locked = {row.listing_id: row for row in session.execute(_LOCK, {"ids": list(ids)})}
    refusals = {listing_id: _refusal(locked.get(listing_id), actor, action) for listing_id in ids}
    fit = [listing_id for listing_id, refusal in refusals.items() if refusal is None]
    statement = (
        sa.update(_t).where(_l.listing_id == sa.any_(_IDS)).values(_values(action, reason)).returning(*_RETURNED)
    )
    changed = {row.listing_id: row for row in session.execute(statement, {"ids": fit})} if fit else {}
    told = [
        Entry(listing_id, _shown(locked[listing_id]), {"status": row.status, "step": action, "reason": reason})
        for listing_id, row in changed.items()
    ]
    record_quietly(session, actor, _type(action), told)
    return [
        Result(listing_id, changed[listing_id].version, _kept(locked[listing_id], action))
        if refusals[listing_id] is None
        else Result(listing_id, detail=refusals[listing_id])
        for listing_id in ids
    ]


def preview(db: Reader, actor: Actor, action: str, clause: sa.ColumnElement[bool]) -> PreviewCounts:
    """What :func:`act` would come to for the listings of ``clause``: they fall into few groups that are treated alike."""
    is_own, now = _l.user_id.is_not_distinct_from(actor.user_id), sa.func.now()
    alike = (
        _l.status,
        is_own,
        _l.deleted_at.is_(None),
        _l.deleted_at > now - editing.RESTORABLE_FOR,
        _l.review_requested_at.is_(None),
    )
    any_of = [sa.func.max(_l[name]).label(name) for name in ("user_id", "deleted_at", "review_requested_at")]
    columns = (_l.status, *any_of, now.label("now"), sa.func.count().label("number"))
    groups = db.execute(sa.select(*columns).where(clause).group_by(*alike)).all()
    return count_preview(groups, lambda group: _refusal(group, actor, action))


def revert(session: Session, actor: Actor, action: str, done: Sequence[Done]) -> list[Result]:
    """Make listings what they were before ``action``, unless they have changed since or are the actor's; one result each."""
    locked = {row.listing_id: row for row in session.execute(_LOCK, {"ids": [each.subject_id for each in done]})}
    own = {listing_id for listing_id, row in locked.items() if actor.owns(row.user_id)}
    rows = [
        {"listing_id": each.subject_id, "version": each.version, **each.previous}
        for each in done
        if each.subject_id not in own
    ]
    restored = {row.listing_id: row for row in session.execute(_PUT_BACK[action], {"rows": rows})}
    told = [
        Entry(listing_id, _shown(locked[listing_id]), {"status": row.status, "step": f"undo {action}"})
        for listing_id, row in restored.items()
    ]
    type = {"delete": EventType.LISTING_RESTORED, "restore": EventType.LISTING_DELETED}.get(action, _type(action))
    record_quietly(session, actor, type, told)

    def became(each: Done) -> Result:
        if each.subject_id in own:
            return Result(each.subject_id, detail=_OWN)
        return Result(each.subject_id) if each.subject_id in restored else each.changed_since()

    return [became(each) for each in done]


def _refusal(row: Any | None, actor: Actor, action: str) -> str | None:
    """Why the listing cannot be acted upon; ``None`` if it can."""
    if row is None:
        return "There is no such listing."
    if actor.owns(row.user_id):
        return _OWN
    if action == "restore":
        if row.deleted_at is None:
            return "It is not deleted."
        is_late = not editing.is_restorable(row.deleted_at, row.now)
        return "It was deleted too long ago." if is_late else None
    if row.deleted_at is not None:
        return "It is deleted."
    if action == "delete" or workflow.possible(row, LISTING_WORKFLOW.step(action)):
        return None
    return f"It is {row.status.replace('_', ' ')}."


def _values(action: str, reason: str) -> dict[str, Any]:
    bump = {"version": _l.version + 1}
    if action == "delete":
        return {"deleted_at": sa.func.now(), **bump}
    if action == "restore":
        return {"deleted_at": None, "date_updated": sa.func.now(), **bump}
    return workflow.values_of(LISTING_WORKFLOW.step(action), reason)


def _type(action: str) -> EventType:
    types = {"delete": EventType.LISTING_DELETED, "restore": EventType.LISTING_RESTORED}
    return types.get(action, EventType.LISTING_STATUS_CHANGED)


def _kept(row: Any, action: str) -> dict[str, Any]:
    """What ``action`` is about to overwrite, JSON-ready."""
    kept = {name: getattr(row, name) for name in _WRITTEN[action]}
    return {name: value if value is None or isinstance(value, bool) else _ready(value) for name, value in kept.items()}


def _ready(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _shown(row: Any) -> dict[str, Any]:
    """What the log tells of a listing's state."""
    return {"status": row.status, "is_verified_listing": row.is_verified_listing}


def _reverting(action: str) -> sa.Update:
    """Writes what ``action`` overwrote, and no more: what a column is made of, PostgreSQL makes anew if it is named."""
    kept = (_l.listing_id, _l.version, *(_l[name] for name in _WRITTEN[action]))
    rows = sa.func.jsonb_to_recordset(sa.bindparam("rows", type_=postgresql.JSONB))
    before = rows.table_valued(*(sa.column(each.name, each.type) for each in kept)).render_derived(
        name="before", with_types=True
    )
    values = {name: before.c[name] for name in _WRITTEN[action]}
    return (
        sa.update(_t)
        .where(_l.listing_id == before.c.listing_id, _l.version == before.c.version)
        .values(**values, version=_l.version + 1)
        .returning(*_RETURNED)
    )


_WRITTEN: Mapping[str, tuple[str, ...]] = {
    action: tuple(name for name in _KEPT if name in _values(action, "")) for action in ACTIONS
}
_PUT_BACK = {action: _reverting(action) for action in ACTIONS}
