"""Batches: one action on many things, in parts that each commit, and its undoing.

A batch knows every thing that it matched from the start, and what became of each. Whoever carries it out may die at
any moment: whole parts are done, the others wait, and the batch can be gone on with or undone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database.base import table_of
from marketplace_api.database.prepared import Reader
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.domain.kernel.events import EventType, record
from marketplace_api.domain.kernel.filters import Condition, is_storable
from marketplace_api.domain.trust.moderation import undo_order
from marketplace_api.domain.trust.moderation.results import Done, PreviewCounts, Result
from marketplace_api.domain.trust.moderation.targets import TARGETS, Target
from marketplace_api.errors import Conflict, FieldError, Forbidden, Invalid, NotFound
from marketplace_api.models.trust.batches import Batch, BatchRow

LONGEST_REASON = 1_000

_b, _rows = table_of(Batch), table_of(BatchRow)
_r = _rows.c

_COUNTS = (
    sa.select(_r.outcome, sa.func.count().label("count"))
    .where(_r.batch_id == sa.bindparam("batch_id"))
    .group_by(_r.outcome)
)
_NEXT = sa.text("SELECT subject_id, version, previous FROM next_of_batch(:batch_id, :outcome, :part)")
# All of these rows are there. An update could be planned as a walk through the whole batch for each part of it; this
# looks each row up, whatever the statistics say.
_WRITE = sa.text(
    """
    INSERT INTO moderation_batch_rows (batch_id, subject_id, outcome, detail, version, previous, restored_version)
    SELECT CAST(:batch_id AS bigint), subject_id, outcome, detail, version, previous, restored_version
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS part (
        subject_id bigint, outcome text, detail text, version bigint, previous jsonb, restored_version bigint
    )
    ON CONFLICT (batch_id, subject_id) DO UPDATE SET
        outcome = excluded.outcome, detail = excluded.detail, version = excluded.version, previous = excluded.previous,
        restored_version = excluded.restored_version
    """
)
_LEAVE = (
    sa.update(_rows)
    .where(_r.batch_id == sa.bindparam("of"), _r.outcome == "waiting")
    .values(outcome="skipped", detail="The batch was undone before it came to this.")
)
_TRY_AGAIN = (
    sa.update(_rows)
    .where(_r.batch_id == sa.bindparam("of"), _r.outcome == "kept")
    .values(outcome="changed", detail=None)
)


@dataclass(frozen=True, slots=True)
class Preview:
    """What matches: how much of it the action would be done to or refused and why, and some by the fields that are shown."""

    counts: PreviewCounts
    sample: Sequence[Mapping[str, Any]]

    @property
    def count(self) -> int:
        """How many things match."""
        return sum(self.counts.values())


def preview(
    db: Reader, actor: Actor, target: Target, action: str, conditions: Sequence[Condition], size: int = 5
) -> Preview:
    """What the conditions match now, the newest first, and what the action of ``actor`` would come to.

    Raises Invalid for a value that nothing can have.
    """
    clause = target.clause(db, conditions)
    columns = [target.named[name].column.label(name) for name in target.shown]
    found = db.execute(sa.select(*columns).where(clause).order_by(target.key.desc()).limit(size))
    return Preview(target.preview(db, actor, action, clause), [dict(row) for row in found.mappings()])


def check(actor: Actor, target: Target, action: str, reason: str) -> str:
    """The reason as it is told, if the action can be begun.

    Raises Forbidden for who does not moderate, and Invalid for an action that the target does not know or a reason that
    says nothing.
    """
    _require_moderator(actor)
    if action not in target.actions:
        close = get_close_matches(action, target.actions, n=1)
        meant = f"did you mean {close[0]!r}?" if close else f"they know {', '.join(target.actions)}."
        raise _invalid("action", f"{target.name} know no {action!r}; {meant}")
    return _checked_reason(reason)


def start(
    session: Session,
    actor: Actor,
    target: Target,
    action: str,
    *,
    where: str,
    conditions: Sequence[Condition],
    reason: str,
) -> Any:
    """A batch of everything that the conditions (``where``, as it was typed) match now; returns its row.

    Nothing has been done to any of it yet: :func:`advance` does. Raises as :func:`check` does.
    """
    told = check(actor, target, action, reason)
    values = {
        "action": action,
        "target": target.name,
        "conditions": where.strip(),
        "reason": told,
        "actor_id": actor.user_id,
        "actor_name": actor.username or None,
        "request_id": actor.request_id,
    }
    batch_id = session.execute(sa.insert(_b).values(values).returning(_b.c.batch_id)).scalar_one()
    matches = sa.select(sa.literal(batch_id), target.key).where(target.clause(session, conditions))
    session.execute(sa.insert(_rows).from_select([_r.batch_id, _r.subject_id], matches))
    matched = counts(session, batch_id).get("waiting", 0)
    update = sa.update(_b).where(_b.c.batch_id == batch_id).values(matched=matched).returning(*_b.c)
    batch = session.execute(update).one()
    new = {name: values[name] for name in ("action", "target", "conditions")} | {"matched": matched}
    record(session, replace(actor, reason=told), EventType.BATCH_STARTED, batch_id, new=new)
    return batch


def advance(session: Session, actor: Actor, batch_id: int) -> int:
    """Do the next part of the batch; returns how many things it came to, 0 when the batch is done. The caller commits.

    Raises NotFound, and Conflict (``wrong_state``) when it does not run any more.
    """
    batch = _lock(session, batch_id, "running")
    target = TARGETS[batch.target]
    waiting = session.execute(_NEXT, {"batch_id": batch_id, "outcome": "waiting", "part": target.part}).all()
    if not waiting:
        _finish(session, actor, batch, "done", EventType.BATCH_FINISHED, "date_finished")
        return 0
    ids = [row.subject_id for row in waiting]
    results = target.act(session, replace(actor, reason=batch.reason), batch.action, batch.reason, ids)
    _write(session, actor, batch, results, ("changed", "skipped"))
    return len(ids)


def begin_undo(session: Session, actor: Actor, batch_id: int) -> Any:
    """Let the batch be undone; what it has not come to yet is left alone. Returns its row.

    A batch that somebody carries out at the moment stops at its next part. One that was undone before is gone through
    again for what it had to keep, which may be as the batch left it by now. Raises NotFound, Forbidden, and Conflict
    (``wrong_state``) where nothing is left to put back. Invalid for a reason that says nothing.
    """
    _require_moderator(actor)
    if actor.reason is not None:
        _checked_reason(actor.reason)
    batch = _lock(session, batch_id, "running", "done", "undoing", "undone")
    if batch.state == "undone" and not counts(session, batch_id).get("kept"):
        raise undone(batch_id)
    if batch.state != "undoing":
        session.execute(_LEAVE, {"of": batch_id})
        session.execute(_TRY_AGAIN, {"of": batch_id})
        values = {"state": "undoing", "date_updated": _now(), "date_undone": None}
        session.execute(sa.update(_b).where(_b.c.batch_id == batch_id).values(values))
        record(session, actor, EventType.BATCH_UNDO_STARTED, batch_id, previous={"state": batch.state})
    return find(session, batch_id)


def advance_undo(session: Session, actor: Actor, batch_id: int) -> int:
    """Put the next part of the batch back; returns how many things it came to, 0 when all is undone. The caller commits.

    What has changed since is kept as it is, and its row says so. Raises NotFound and Conflict.
    """
    batch = _lock(session, batch_id, "undoing")
    target = TARGETS[batch.target]
    changed = session.execute(_NEXT, {"batch_id": batch_id, "outcome": "changed", "part": target.part}).all()
    if not changed:
        _finish(session, actor, batch, "undone", EventType.BATCH_UNDONE, "date_undone")
        return 0
    rows, now = {row.subject_id: row for row in changed}, undo_order.versions_now(session, batch.target, changed)
    done = [Done(row.subject_id, now[row.subject_id], row.previous) for row in changed]
    results = [
        # What was done stays on record, whatever became of it.
        replace(result, version=rows[result.subject_id].version, previous=rows[result.subject_id].previous)
        for result in target.revert(session, actor, batch.action, done)
    ]
    _write(session, actor, batch, results, ("restored", "kept"), now)
    return len(done)


def changed_since(db: Reader, batch_id: int) -> int:
    """How many of the things that undoing a batch would come to have changed since, and would be kept; raises NotFound."""
    return undo_order.changed_since(db, batch_id, TARGETS[find(db, batch_id).target])


def undone(batch_id: int) -> Conflict:
    """The refusal to undo what is undone."""
    return Conflict(f"Batch {batch_id} is undone.", code="wrong_state", extra={"state": "undone"})


def find(db: Reader, batch_id: int) -> Any:
    """The row of a batch; raises NotFound."""
    row = db.execute(sa.select(_b).where(_b.c.batch_id == batch_id)).first()
    if row is None:
        raise NotFound(f"There is no batch {batch_id}.")
    return row


def list_page(db: Reader, *, limit: int = 50, before: int | None = None) -> Sequence[Any]:
    """The newest batches, at most ``limit``, of those older than the batch ``before``."""
    statement = sa.select(_b).order_by(_b.c.batch_id.desc()).limit(limit)
    rows: Sequence[Any] = db.execute(statement if before is None else statement.where(_b.c.batch_id < before)).all()
    return rows


def counts(db: Reader, batch_id: int) -> dict[str, int]:
    """How many things have which outcome; those that none has are left out."""
    return {row.outcome: row.count for row in db.execute(_COUNTS, {"batch_id": batch_id})}


def reasons(db: Reader, batch_id: int, of: Sequence[str] = ("skipped", "kept")) -> dict[str, int]:
    """How many things were skipped or kept, or only one ``of`` these, by why."""
    left = _r.outcome.in_(of)
    statement = sa.select(_r.detail, sa.func.count().label("count")).where(_r.batch_id == batch_id, left)
    found = db.execute(statement.group_by(_r.detail).order_by(sa.func.count().desc(), _r.detail))
    return {row.detail: row.count for row in found}


def outcomes(
    db: Reader, batch_id: int, *, outcome: str | None = None, limit: int = 1_000, after: int = 0
) -> Sequence[Any]:
    """``subject_id``, ``outcome`` and ``detail`` of things by id from after ``after`` on, at most ``limit``."""
    statement = sa.select(_r.subject_id, _r.outcome, _r.detail).where(_r.batch_id == batch_id, _r.subject_id > after)
    if outcome is not None:
        statement = statement.where(_r.outcome == outcome)
    rows: Sequence[Any] = db.execute(statement.order_by(_r.subject_id).limit(limit)).all()
    return rows


def _lock(session: Session, batch_id: int, *states: str) -> Any:
    row = session.execute(sa.select(_b).where(_b.c.batch_id == batch_id).with_for_update()).first()
    if row is None:
        raise NotFound(f"There is no batch {batch_id}.")
    if row.state not in states:
        raise Conflict(f"Batch {batch_id} is {row.state}.", code="wrong_state", extra={"state": row.state})
    return row


def _write(
    session: Session,
    actor: Actor,
    batch: Any,
    results: Sequence[Result],
    names: tuple[str, str],
    undone: Mapping[int, int] = MappingProxyType({}),
) -> None:
    """Note what became of each: the first of ``names`` where something was done, else the second.

    ``undone`` has the versions of things before they were put back, which makes one more.
    """
    done, not_done = names
    rows = [
        {
            "subject_id": result.subject_id,
            "outcome": done if result.detail is None else not_done,
            "detail": result.detail,
            "version": result.version or None,
            "previous": result.previous or None,
            "restored_version": undone[result.subject_id] + 1 if undone and result.detail is None else None,
        }
        for result in results
    ]
    session.execute(_WRITE, {"batch_id": batch.batch_id, "rows": orjson.dumps(rows).decode()})
    session.execute(sa.update(_b).where(_b.c.batch_id == batch.batch_id).values(date_updated=_now()))
    ids = [result.subject_id for result in results]
    new = {
        "action": batch.action,
        "target": batch.target,
        "undone": done == "restored",
        "first_id": min(ids),
        "last_id": max(ids),
        "of": len(ids),
        "done": sum(result.detail is None for result in results),
    }
    record(session, actor, EventType.BATCH_PROGRESSED, batch.batch_id, new=new)


def _finish(session: Session, actor: Actor, batch: Any, state: str, type: EventType, when: str) -> None:
    values = {"state": state, "date_updated": _now(), when: _now()}
    session.execute(sa.update(_b).where(_b.c.batch_id == batch.batch_id).values(values))
    told = replace(actor, reason=actor.reason or batch.reason)
    record(session, told, type, batch.batch_id, new=counts(session, batch.batch_id))


def _now() -> Any:
    return sa.func.clock_timestamp()


def _require_moderator(actor: Actor) -> None:
    if not actor.moderates:
        raise Forbidden("Only moderators may do this.")


def _checked_reason(reason: str) -> str:
    told = reason.strip()
    if not (1 <= len(told) <= LONGEST_REASON and is_storable(told)):
        raise _invalid("reason", f"Give a reason of 1 to {LONGEST_REASON} characters; those concerned read it.")
    return told


def _invalid(name: str, message: str) -> Invalid:
    return Invalid(message, errors=[FieldError("body", name, "not_allowed", message)])
