"""What happens by the clock: erasure of accounts whose time is up, clearing away, folding search terms, recounting.

Every task may run twice or late without harm, and only one worker runs each tick. Times are UTC. What a run came to
stands in ``schedule_runs``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import procrastinate
import sqlalchemy as sa
import structlog
from procrastinate import JobContext
from procrastinate.retry import BaseRetryStrategy
from sqlalchemy.orm import Session

from marketplace_api.database.engines import now_of
from marketplace_api.domain.catalog import search
from marketplace_api.domain.identity.accounts.config import AccountRules
from marketplace_api.domain.media.files.sweep import sweep
from marketplace_api.domain.operations import counters
from marketplace_api.domain.outbound.notifications import delivery_log
from marketplace_api.domain.outbound.notifications import inbox as notifications
from marketplace_api.domain.privacy import erasure
from marketplace_api.jobs import failures, schedule_runs
from marketplace_api.jobs.catalog.maintenance import TERMS_BATCH
from marketplace_api.jobs.eventlog.maintenance import keep_event_months
from marketplace_api.jobs.outbound import channels
from marketplace_api.jobs.outbound.webhooks import purge_webhook_deliveries
from marketplace_api.jobs.services import Services
from marketplace_api.jobs.trust.maintenance import expire_verifications, purge_documents
from marketplace_api.models.identity.accounts import AccountSession, LoginFailures, OneTimeToken
from marketplace_api.models.kernel.idempotency import StoredAnswer
from marketplace_api.models.outbound.phones import PhoneCode, PhoneCodeCount

ANSWERS_KEPT = timedelta(hours=24)
FAILURES_KEPT = timedelta(days=2)
UNREAD_KEPT = timedelta(days=365)
DELIVERIES_KEPT = timedelta(days=90)
SESSIONS_KEPT = timedelta(days=30)
ENDED_JOBS_KEPT = timedelta(days=30)
DELETE_BATCH = 5_000
MOST_TOLD = 50

# In the order of their ids, a part at a time.
_FORGET = sa.text(
    f"""DELETE FROM procrastinate_jobs WHERE id IN (
        SELECT id FROM procrastinate_jobs AS job WHERE status IN ('failed', 'cancelled', 'aborted') AND NOT EXISTS
            (SELECT FROM procrastinate_events WHERE job_id = job.id AND at >= :before)
        ORDER BY id LIMIT {DELETE_BATCH}
    ) RETURNING id"""  # noqa: S608  made of constants only
)

log = structlog.get_logger(__name__)


def erase_due_accounts(session: Session, services: Services) -> None:
    """Erases the personal data of accounts that were deactivated long enough ago."""
    rules = AccountRules.from_settings(services.settings)
    while erased := erasure.erase_due(session, rules, datetime.now(UTC)):
        session.commit()
        log.info("accounts.erased", count=erased)


def purge_expired(session: Session, _services: Services) -> None:
    """Deletes what is of no use any more: dead tokens and sessions, old answers, forgotten log-in failures, codes."""
    now = datetime.now(UTC)
    doomed = (
        (OneTimeToken.__table__, OneTimeToken.expires_at < now),
        (AccountSession.__table__, AccountSession.expires_at < now - SESSIONS_KEPT),
        (AccountSession.__table__, AccountSession.ended_at < now - SESSIONS_KEPT),
        (StoredAnswer.__table__, StoredAnswer.date_created < now - ANSWERS_KEPT),
        (PhoneCode.__table__, PhoneCode.expires_at < now),
        (PhoneCodeCount.__table__, PhoneCodeCount.last_sent < now - FAILURES_KEPT),
        (LoginFailures.__table__, LoginFailures.last_failed_at < now - FAILURES_KEPT),
    )
    for table, condition in doomed:
        key = next(iter(table.primary_key))
        some = sa.select(key).where(condition).limit(DELETE_BATCH).scalar_subquery()
        # In batches that each commit: a long delete would hold its locks for as long.
        while session.execute(sa.delete(table).where(key.in_(some))).rowcount == DELETE_BATCH:  # type: ignore[attr-defined,arg-type]
            session.commit()
        session.commit()


def compact_search_terms(session: Session, _services: Services) -> None:
    """Folds in what the debounced jobs missed."""
    while search.compact_terms(session, TERMS_BATCH):
        session.commit()
    session.commit()


def sweep_files(session: Session, services: Services) -> None:
    """Holds files and their rows against each other and mends what a crash left apart."""
    report = sweep(session, services.storage, datetime.now(UTC))
    if report.is_clean:
        log.info("files.swept", cleared=report.cleared, unfinished=report.unfinished)
        return
    log.error(
        "files.apart",
        missing=report.missing[:MOST_TOLD],
        found_again=report.found_again[:MOST_TOLD],
        strays=report.strays[:MOST_TOLD],
        strays_deleted=report.strays_deleted,
    )


def purge_notifications(session: Session, services: Services) -> None:
    """Deletes notifications that were read long ago or that nobody reads any more, and deliveries that are long over."""
    now = datetime.now(UTC)
    read = now - timedelta(days=services.settings.notifications_keep_days)
    while (
        notifications.purge(session, read)
        or notifications.purge_unread(session, now - UNREAD_KEPT)
        or delivery_log.purge(session, now - DELIVERIES_KEPT)
    ):
        session.commit()
    session.commit()


def wake_due_deliveries(session: Session, _services: Services) -> None:
    """Has sent what has become due: after quiet hours, by the day, after a failure."""
    channels.wake_due(session, now_of(session))
    session.commit()


def forget_ended_jobs(session: Session, _services: Services) -> None:
    """Deletes jobs that failed for good or were cancelled, a month after; those that succeeded go at once."""
    while session.execute(_FORGET, {"before": datetime.now(UTC) - ENDED_JOBS_KEPT}).first() is not None:
        session.commit()
    session.commit()


def recount(session: Session, _services: Services) -> None:
    """Holds the counters that are kept beside what they count against it, and mends those that drifted."""
    repaired = counters.repair(session)
    if any(repaired.values()):
        log.error("counters.drifted", **repaired)
    else:
        log.info("counters.recounted")


PERIODIC: tuple[tuple[str, Callable[[Session, Services], None]], ...] = (
    ("17 3 * * *", erase_due_accounts),
    ("47 * * * *", purge_expired),
    ("* * * * *", compact_search_terms),
    ("37 * * * *", sweep_files),
    ("*/5 * * * *", expire_verifications),
    ("7 2 * * *", purge_documents),
    ("7 4 * * *", purge_notifications),
    ("* * * * *", wake_due_deliveries),
    ("17 4 * * *", purge_webhook_deliveries),
    ("27 4 * * *", forget_ended_jobs),
    ("37 4 * * *", recount),
    ("57 2 * * *", keep_event_months),
)
"""Cron time and what then runs, in a thread and with a session of its own."""

CRONS: Mapping[str, str] = {function.__name__: cron for cron, function in PERIODIC}
"""Cron times by the names of the tasks."""


def all_periodic() -> list[dict[str, str]]:
    """``cron``, ``task`` and ``purpose`` of everything that runs by the clock."""
    return [
        {"cron": cron, "task": function.__name__, "purpose": (function.__doc__ or "").strip()}
        for cron, function in PERIODIC
    ]


def register(
    app: procrastinate.App, in_session: Callable[..., None], retry: BaseRetryStrategy, *, ticking: bool
) -> None:
    """Put the tasks of the schedule into ``app``; ``in_session(context, function)`` runs one of :data:`PERIODIC`.

    Only an app that is ``ticking`` runs them by the clock.
    """
    # One waiting tick is enough, however long all workers were away, hence the queueing locks.
    for cron, function in PERIODIC:
        name = function.__name__
        tick = _ticking(function, cron, in_session)
        task = app.task(name=name, pass_context=True, queueing_lock=name, lock=name, retry=retry)(tick)
        if ticking:
            app.periodic(cron=cron)(task)


def _ticking(
    function: Callable[[Session, Services], None], cron: str, in_session: Callable[..., None]
) -> Callable[..., None]:
    name = function.__name__

    def tick(context: JobContext, timestamp: int) -> None:  # noqa: ARG001  the queue passes the time of the tick
        in_session(context, lambda session, _services: schedule_runs.begin(session, name))
        failure: str | None = None
        try:
            in_session(context, function)
        except Exception as error:
            failure = failures.describe(error).error
            if failures.is_temporary(error):
                raise
            # The next tick tries again: a job that failed for good would only be one of many.
            log.exception("schedule.failed", task=name)
        finally:
            in_session(context, lambda session, _services: schedule_runs.end(session, name, cron, failure))

    return tick
