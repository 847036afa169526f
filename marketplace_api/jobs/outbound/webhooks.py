"""Webhooks at work: passing the log on, sending what is due, forgetting what is old.

The jobs of an endpoint run one after the other, each with a few requests at a time for a few seconds: so a slow
endpoint never holds more than one thread of all workers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from itertools import repeat

import sqlalchemy as sa
import structlog
from sqlalchemy.orm import Session

from marketplace_api.config.settings import Settings
from marketplace_api.database.engines import Databases, is_outage
from marketplace_api.domain.outbound.webhooks import delivery, fanout, payload, signing
from marketplace_api.domain.outbound.webhooks.delivery import Attempt, Outcome, Target
from marketplace_api.errors import Unavailable
from marketplace_api.gateways import safe_http
from marketplace_api.gateways.retry_after import retry_after
from marketplace_api.gateways.ssrf import OutboundRefused
from marketplace_api.jobs.enqueue import Queue, defer
from marketplace_api.jobs.services import Services
from marketplace_api.version import VERSION

SEND = "send_webhooks"
LIMITS = safe_http.Limits(read=15.0, total=15.0)
"""All the time that is promised to a receiver may pass in silence."""
AT_A_TIME = 4
"""Requests to one endpoint at once."""
TURN_SECONDS = 10.0
"""After so long a job leaves the rest to the next one, that others have their turn."""
LOOK_SECONDS = 0.5
IDLE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 15.0

log = structlog.get_logger(__name__)

_QUEUED = sa.text(
    "SELECT queueing_lock FROM procrastinate_jobs WHERE queueing_lock = ANY(:names) AND status = 'todo' "
    "UNION ALL SELECT lock FROM procrastinate_jobs WHERE lock = ANY(:names) AND status = 'doing'"
)


@contextmanager
def relay_in_background(databases: Databases) -> Iterator[None]:
    """While the block runs, a thread passes events on as soon as they are recorded."""
    stopping = threading.Event()
    thread = threading.Thread(target=_relay_until, args=(stopping, databases), name="webhooks", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join(LONGEST_PAUSE_SECONDS)


def _relay_until(stopping: threading.Event, databases: Databases) -> None:
    pause = 0.0
    while not stopping.wait(pause):
        try:
            busy = relay(databases)
            pause = 0.0 if busy else IDLE_SECONDS if busy is None else LOOK_SECONDS
        except Exception as error:  # the worker's own work goes on, whatever is wrong here
            pause = min(max(pause * 2, IDLE_SECONDS), LONGEST_PAUSE_SECONDS)
            (log.warning if is_outage(error) else log.exception)("webhooks.not_relayed", reason=type(error).__name__)


def relay(databases: Databases) -> bool | None:
    """One look: make deliveries of what is new, and a job for each endpoint that has something to be sent.

    Returns as ``fanout.fan_out``.
    """
    with databases.session() as session, session.begin():
        busy = fanout.fan_out(session)
        if busy is not None:
            _defer_due(session)
    return busy


def _defer_due(session: Session) -> None:
    # Who passes on holds the lock of the position: nobody else defers the same meanwhile.
    names = {f"webhooks:{endpoint_id}": endpoint_id for endpoint_id in fanout.due(session)}
    if not names:
        return
    queued = set(session.execute(_QUEUED, {"names": [*names]}).scalars())
    for name, endpoint_id in names.items():
        if name not in queued:
            arguments = {"endpoint_id": endpoint_id}
            defer(session, SEND, arguments, queue=Queue.WEBHOOKS, lock=name, queueing_lock=name)


def send_webhooks(session: Session, services: Services, endpoint_id: int) -> None:
    """Sends what is due to one endpoint, for its turn."""
    ends = time.monotonic() + TURN_SECONDS
    while time.monotonic() < ends:
        target, attempts = delivery.take(session, endpoint_id, AT_A_TIME)
        # From here on nobody sends the same, and if we die somebody will.
        session.commit()
        if target is None or not attempts:
            return
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            outcomes = list(pool.map(_attempted, repeat(services.settings), repeat(target), attempts))
        delivery.settle(session, endpoint_id, outcomes)
        session.commit()


def _attempted(settings: Settings, target: Target, attempt: Attempt) -> Outcome:
    """One that breaks off must not keep what became of the others from being written down."""
    try:
        return _send(settings, target, attempt)
    except Exception:
        log.exception("webhook.broken", delivery_id=attempt.delivery_id)
        return Outcome(attempt, problem="The attempt broke off by a mistake of ours; it is in the log.")


def _send(settings: Settings, target: Target, attempt: Attempt) -> Outcome:
    secrets = signing.opened(settings, target.secrets)
    if not secrets:
        return Outcome(attempt, problem="The secret cannot be opened: rotate it.")
    body = payload.body(attempt.event, settings.public_url)
    message_id, timestamp = attempt.message_id, int(time.time())
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"Marketplace-Webhooks/{VERSION}",
        "Webhook-Id": message_id,
        "Webhook-Event-Id": str(attempt.event.event_id),
        "Webhook-Timestamp": str(timestamp),
        "Webhook-Signature": signing.signatures(secrets, message_id, timestamp, body),
    }
    try:
        with safe_http.session(settings, LIMITS) as caller:
            answer = caller.post(target.url, data=body, headers=headers)
    except OutboundRefused as error:
        return Outcome(attempt, problem=str(error), is_final=True)
    except Unavailable as error:
        return Outcome(attempt, problem=error.detail)
    text = answer.content[: delivery.LONGEST_BODY].decode("utf-8", "replace")
    seconds = retry_after(answer)
    wait = None if seconds is None else timedelta(seconds=seconds)
    return Outcome(attempt, answer.status_code, text, retry_after=wait)


def purge_webhook_deliveries(session: Session, _services: Services) -> None:
    """Deletes deliveries of webhooks that were made more than 30 days ago."""
    while delivery.purge(session) == delivery.PURGE_BATCH:
        session.commit()
    session.commit()
