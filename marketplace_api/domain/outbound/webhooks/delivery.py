"""Attempts: taking what is due, writing down what became of it, when to try again, and when to give an endpoint up."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.database.base import table_of
from marketplace_api.domain.kernel.actors import operator
from marketplace_api.domain.outbound.webhooks.endpoints import disabled
from marketplace_api.models.kernel.events import Event
from marketplace_api.models.outbound.webhooks import WebhookDelivery, WebhookEndpoint

WAITS = tuple(
    timedelta(seconds=seconds)
    for seconds in (5, 30, 120, 600, 1_800, 3_600, 7_200, 14_400, 28_800, 28_800, 43_200, 43_200, 93_600)
)
"""From each attempt to the next, together a little more than three days."""
JITTER = 0.1
LEASE = timedelta(minutes=2)
"""After so long an attempt of which nothing was heard is made again: whoever made it has died."""
LONGEST_RETRY_AFTER = timedelta(days=1)
FAILING_FOR = timedelta(days=3)
LEAST_FAILURES = 10
KEPT = timedelta(days=30)
LONGEST_BODY = 2_000
"""Characters of an answer that are kept."""
GONE = 410
PURGE_BATCH = 5_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_e, _d, _events = table_of(WebhookEndpoint), table_of(WebhookDelivery), table_of(Event)


@dataclass(frozen=True, slots=True)
class Target:
    """Where to send, and the sealed secrets that sign."""

    endpoint_id: int
    url: str
    secrets: tuple[bytes | None, bytes | None]


@dataclass(frozen=True, slots=True)
class Attempt:
    """A delivery that was taken to be sent now; ``number`` counts from 1, ``date_created`` is the delivery's, and
    ``event`` a row of the log."""

    delivery_id: int
    number: int
    date_created: datetime
    event: Any

    @property
    def message_id(self) -> str:
        """What receivers remember: the same for all attempts, and no other delivery's. Numbers alone are given again
        after a restore of the marketplace, so the delivery's moment is in it, in microseconds since 1970."""
        return f"{self.delivery_id}-{(self.date_created - _EPOCH) // timedelta(microseconds=1)}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an attempt: the answer's ``status`` (``None``: there was none) and beginning, or the ``problem``.

    ``is_final`` says that trying again is useless; ``retry_after`` is what the receiver asked for.
    """

    attempt: Attempt
    status: int | None = None
    body: str | None = None
    problem: str | None = None
    retry_after: timedelta | None = None
    is_final: bool = False

    @property
    def is_delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def take(session: Session, endpoint_id: int, count: int) -> tuple[Target | None, Sequence[Attempt]]:
    """Up to ``count`` deliveries of an enabled endpoint that are due; nobody else takes them within the lease.

    The caller commits before it sends.
    """
    columns = (_e.c.url, _e.c.secret, _e.c.previous_secret, _e.c.previous_until > sa.func.now())
    found = session.execute(
        sa.select(*columns).where(_e.c.endpoint_id == endpoint_id, _e.c.status == "enabled")
    ).one_or_none()
    if found is None:
        return None, ()
    url, secret, previous, previous_counts = found
    due = (
        sa.select(_d.c.delivery_id)
        .where(_d.c.endpoint_id == endpoint_id, _d.c.status == "waiting", _d.c.next_attempt_at <= sa.func.now())
        .order_by(_d.c.next_attempt_at, _d.c.delivery_id)
        .limit(count)
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    taken = (
        sa.update(_d)
        .where(_d.c.delivery_id == due.c.delivery_id, _events.c.event_id == _d.c.event_id)
        .values(attempts=_d.c.attempts + 1, next_attempt_at=sa.func.now() + LEASE)
        .returning(_d.c.delivery_id, _d.c.attempts, _d.c.date_created.label("made_at"), *_events.c)
    )
    attempts = [Attempt(row.delivery_id, row.attempts, row.made_at, row) for row in session.execute(taken)]
    target = Target(endpoint_id, url, (secret, previous if previous_counts else None))
    return target, sorted(attempts, key=lambda attempt: attempt.delivery_id)


def settle(session: Session, endpoint_id: int, outcomes: Sequence[Outcome]) -> None:
    """Write down what became of the attempts, and switch the endpoint off where it is gone or fails for too long."""
    statement = (
        sa.select(_e.c.status, _e.c.failures, _e.c.failing_since, sa.func.now().label("now"))
        .where(_e.c.endpoint_id == endpoint_id)
        .with_for_update()
    )
    endpoint = session.execute(statement).one_or_none()
    if endpoint is None:  # deleted meanwhile, and the deliveries with it
        return
    ended: list[str] = []
    for outcome in outcomes:
        where = (_d.c.delivery_id == outcome.attempt.delivery_id, _d.c.status == "waiting")
        changed = sa.update(_d).where(*where).values(_written(outcome, endpoint.now)).returning(_d.c.status)
        ended += session.execute(changed).scalars()
    failures, since = _health(endpoint, outcomes)
    values = {
        "failures": failures,
        "failing_since": since,
        "delivered_count": _e.c.delivered_count + ended.count("delivered"),
        "failed_count": _e.c.failed_count + ended.count("failed"),
    }
    session.execute(sa.update(_e).where(_e.c.endpoint_id == endpoint_id).values(values))
    if endpoint.status == "enabled":
        if any(outcome.status == GONE for outcome in outcomes):
            disabled(session, operator("worker"), endpoint_id, "gone")
        elif since is not None and failures >= LEAST_FAILURES and since <= endpoint.now - FAILING_FOR:
            disabled(session, operator("worker"), endpoint_id, "failing")


def purge(session: Session) -> int:
    """Delete some of the deliveries that were made long ago; returns how many."""
    old = sa.select(_d.c.delivery_id).where(_d.c.date_created < sa.func.now() - KEPT).limit(PURGE_BATCH)
    deleted = session.execute(sa.delete(_d).where(_d.c.delivery_id.in_(old.scalar_subquery())))
    return int(deleted.rowcount)  # type: ignore[attr-defined]


def backoff(number: int, retry_after: timedelta | None) -> timedelta | None:
    """How long to wait after the attempt of this number; ``None`` where it was the last."""
    if number > len(WAITS):
        return None
    planned = WAITS[number - 1] * (1 + random.uniform(0, JITTER))  # noqa: S311  no secret hangs on it
    return max(planned, min(retry_after or timedelta(0), LONGEST_RETRY_AFTER))


def _health(endpoint: Any, outcomes: Sequence[Outcome]) -> tuple[int, datetime | None]:
    """The attempts that failed since the last success, and since when."""
    if any(outcome.is_delivered for outcome in outcomes):
        return 0, None
    failures = endpoint.failures + len(outcomes)
    return failures, (endpoint.failing_since or endpoint.now) if failures else None


def _written(outcome: Outcome, now: datetime) -> dict[str, Any]:
    told = {"response_status": outcome.status, "response_body": _clean(outcome.body), "problem": outcome.problem}
    if outcome.is_delivered:
        return {**told, "status": "delivered", "next_attempt_at": None, "date_finished": sa.func.now()}
    wait = None
    if not outcome.is_final and outcome.status != GONE:
        wait = backoff(outcome.attempt.number, outcome.retry_after)
    if wait is None:
        return {**told, "status": "failed", "next_attempt_at": None, "date_finished": sa.func.now()}
    # By the clock of the database, by which it is found again: this transaction began when the answers were there.
    return {**told, "next_attempt_at": now + wait}


def _clean(body: str | None) -> str | None:
    """What PostgreSQL can keep."""
    return body[:LONGEST_BODY].replace("\x00", "\ufffd") if body is not None else None
