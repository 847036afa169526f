"""The state of a report: its workflow table, and the functions that move reports along it.

Exactly one decision counts: whoever decides locks the report first, and finds it decided if somebody was faster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.domain.kernel.actors import MODERATION_ROLES, Actor
from marketplace_api.domain.kernel.events import Entry, EventType, record, record_all
from marketplace_api.domain.kernel.workflow import Reason, Transition, Workflow
from marketplace_api.domain.trust.reports import queries
from marketplace_api.errors import Conflict, FieldError, Forbidden, Invalid
from marketplace_api.models.identity.accounts import User
from marketplace_api.models.trust.reports import Report

UNDECIDED = ("open", "assigned")
AT_ONCE = 5_000
"""So many other reports of the same subject are decided with one at most."""


def _step(name: str, target: str, title: str, description: str, reason: Reason) -> Transition:
    return Transition(name, frozenset(UNDECIDED), target, "report:moderate", title, description, reason)


REPORT_WORKFLOW = Workflow(
    name="report",
    states={
        "open": "Waits for a moderator.",
        "assigned": "A moderator works on it; another may take it over, and any may decide it.",
        "resolved": "The report was right, and something was done about it.",
        "dismissed": "Nothing needed to be done; `decision_reason` says why.",
    },
    initial=("open",),
    transitions=(
        _step("assign", "assigned", "Assign", "Take it on, or give it to another moderator.", Reason.NONE),
        _step("resolve", "resolved", "Resolve", "It was right, and was acted on.", Reason.OPTIONAL),
        _step("dismiss", "dismissed", "Dismiss", "Nothing is to be done; its reporter reads why.", Reason.REQUIRED),
    ),
)
_EVENTS: Mapping[str, EventType] = {"resolve": EventType.REPORT_RESOLVED, "dismiss": EventType.REPORT_DISMISSED}
_IDS = ("reporter_id", "subject_type", "subject_id", "reported_id")


@dataclass(frozen=True, slots=True)
class Decision:
    """A report after its decision, and how many others of the same subject were decided with it."""

    row: Any
    also: int


def possible(row: Any, step: str) -> bool:
    """Whether the state of ``row`` lets the step be taken now."""
    return row.state in REPORT_WORKFLOW.step(step).sources


def refused(row: Any, step: str) -> Conflict:
    return Conflict(
        f"The step `{step}` is not possible: the report is {row.state}.",
        "wrong_state",
        extra={"state": row.state},
        link=f"/api/moderation/reports/{row.report_id}",
    )


def assign(
    session: Session,
    actor: Actor,
    report_id: int,
    assignee_id: int | None = None,
    *,
    expected_version: int | None = None,
) -> Any:
    """Give an undecided report to a moderator (to ``actor`` without an ``assignee_id``); returns its row.

    What is so already leaves no trace. Raises NotFound, PreconditionFailed, Forbidden for a report by or about
    ``actor``, Conflict ``wrong_state`` for a decided one, and Invalid ``not_a_moderator`` or ``concerned``.
    """
    row = _held(session, actor, report_id, "assign", expected_version)[0]
    wanted = actor.user_id if assignee_id is None else assignee_id
    if wanted is None or wanted != row.assignee_id:
        _require_fit(session, row, wanted)
        _change(session, [report_id], {"state": "assigned", "assignee_id": wanted})
        previous = {"state": row.state, "assignee_id": row.assignee_id}
        record(
            session,
            actor,
            EventType.REPORT_ASSIGNED,
            report_id,
            previous=previous,
            new={**_ids(row), "assignee_id": wanted},
        )
    return queries.find(session, report_id, actor.user_id)


def decide(
    session: Session,
    actor: Actor,
    report_id: int,
    step: str,
    *,
    reason: str | None = None,
    also_same_subject: bool = False,
    expected_version: int | None = None,
) -> Decision:
    """Take ``resolve`` or ``dismiss``; the report is ``actor``'s from then on, and its reporter reads the ``reason``.

    With ``also_same_subject`` the same is decided of up to :data:`AT_ONCE` undecided reports of the same subject,
    the oldest first, but for one that ``actor`` made. Raises NotFound, PreconditionFailed, Forbidden for
    a report by or about ``actor``, and Conflict ``wrong_state`` when it was decided before.
    """
    others = _others(session, actor, report_id) if also_same_subject else ()
    held = _held(session, actor, report_id, step, expected_version, others)
    deciding = [row for row in held if possible(row, step)]
    values = {
        "state": REPORT_WORKFLOW.step(step).target,
        "assignee_id": actor.user_id,
        "decision_reason": reason,
        "date_decided": sa.func.now(),
        "comment": sa.case((Report.reporter_id.is_(None), ""), else_=Report.comment),
    }
    _change(session, [row.report_id for row in deciding], values)
    target = {"state": values["state"]}
    entries = [Entry(row.report_id, {"state": row.state}, {**_ids(row), **target}) for row in deciding]
    record_all(session, replace(actor, reason=reason), _EVENTS[step], entries)
    return Decision(queries.find(session, report_id, actor.user_id), len(deciding) - 1)


def _held(
    session: Session, actor: Actor, report_id: int, step: str, expected_version: int | None, others: Sequence[int] = ()
) -> list[Any]:
    held = queries.lock(session, report_id, expected_version, others)
    if is_concerned(held[0], actor):
        raise Forbidden("Others decide on a report that you made, or that is about you.")
    if not possible(held[0], step):
        raise refused(held[0], step)
    return held


def is_concerned(row: Any, actor: Actor) -> bool:
    """Whether ``actor`` made the report or is what it is about."""
    return actor.user_id is not None and actor.user_id in (row.reporter_id, row.reported_id)


def _others(session: Session, actor: Actor, report_id: int) -> Sequence[int]:
    """The undecided reports of the same subject that are not ``actor``'s own."""
    same = sa.select(Report.subject_type, Report.subject_id).where(Report.report_id == report_id).subquery()
    statement = (
        sa.select(Report.report_id)
        .join(same, sa.and_(Report.subject_type == same.c.subject_type, Report.subject_id == same.c.subject_id))
        .where(
            Report.stage <= 1, Report.report_id != report_id, Report.reporter_id.is_distinct_from(actor.user_id or 0)
        )
        .order_by(Report.report_id)
        .limit(AT_ONCE)
    )
    found: Sequence[int] = session.execute(statement).scalars().all()
    return found


def _require_fit(session: Session, row: Any, user_id: int | None) -> None:
    """Raise Invalid unless the account may decide this report."""
    statement = sa.select(User.state, User.roles).where(User.user_id == user_id)
    found = session.execute(statement).first()
    if found is None or found.state != "active" or MODERATION_ROLES.isdisjoint(found.roles):
        raise _unfit("not_a_moderator", "This account is no active moderator.")
    if user_id in (row.reporter_id, row.reported_id):
        raise _unfit("concerned", "Nobody decides on a report that they made, or that is about them.")


def _unfit(code: str, message: str) -> Invalid:
    return Invalid(message, errors=[FieldError("body", "assignee_id", code, message)])


def _change(session: Session, report_ids: Sequence[int], values: Mapping[str, Any]) -> None:
    wanted = sa.bindparam("wanted", value=list(report_ids), type_=sa.ARRAY(sa.BigInteger))
    statement = sa.update(Report).where(Report.report_id == sa.any_(wanted))
    session.execute(
        statement.values(**values, date_updated=sa.func.now(), version=Report.version + 1),
        execution_options={"synchronize_session": False},
    )


def _ids(row: Any) -> dict[str, Any]:
    return {name: getattr(row, name) for name in _IDS}
