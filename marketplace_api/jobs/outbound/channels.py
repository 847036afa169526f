"""Sending outbound notifications: one sender for each channel, and the job that gives them what is due.

To add a channel is to add its sender to :data:`SENDERS`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from marketplace_api.database.engines import now_of
from marketplace_api.domain.outbound.notifications import deliveries
from marketplace_api.domain.outbound.notifications.create import due_channels
from marketplace_api.domain.outbound.notifications.deliveries import OutboundMessage, Taken
from marketplace_api.errors import Unavailable
from marketplace_api.gateways.errors import PermanentDeliveryError
from marketplace_api.jobs.enqueue import Queue, defer_once
from marketplace_api.jobs.outbound.email_sender import send_mail
from marketplace_api.jobs.outbound.push_sender import send_push
from marketplace_api.jobs.outbound.sender import Outcome, RetryLater, Sender
from marketplace_api.jobs.outbound.sms_sender import send_sms
from marketplace_api.jobs.services import Services

__all__ = [
    "SENDERS",
    "SEND_DELIVERIES",
    "OutboundMessage",
    "Outcome",
    "Sender",
    "send_deliveries",
    "send_due",
    "wake",
    "wake_due",
]

SEND_DELIVERIES = "send_deliveries"
QUEUES: Mapping[str, Queue] = {"email": Queue.MAIL, "sms": Queue.SMS, "web_push": Queue.PUSH}
MOST_REFUSALS = 3
"""A channel that is out of order so often in a row is left alone until the next tick."""

log = structlog.get_logger(__name__)

_DUE = sa.text(
    "SELECT channel FROM unnest(CAST(:channels AS text[])) AS channel WHERE EXISTS ("
    "SELECT FROM deliveries WHERE deliveries.channel = channel.channel AND status = 'due' AND due_at <= :now)"
)


SENDERS: Mapping[str, Sender] = {"email": send_mail, "sms": send_sms, "web_push": send_push}
"""By channel; what is to go by a channel without a sender is skipped."""


def send_deliveries(session: Session, services: Services, channel: str) -> None:
    """The job: sends what is due by a channel until nothing is left, or the channel is out of order."""
    # By the clock that says when things are due: by one that is behind it what was told just now would wait.
    send_due(session, services, channel, now_of(session))


def send_due(session: Session, services: Services, channel: str, now: datetime) -> None:
    """Send what is due by a channel ``now`` (aware), one message a transaction."""
    refusals = 0
    while refusals < MOST_REFUSALS:
        taken = deliveries.take(session, channel, now, services.settings.page_of)
        if taken is False:
            break
        if isinstance(taken, Taken):
            refusals = 0 if _send(session, services, channel, taken, now) else refusals + 1
        session.commit()
    session.commit()


def wake(session: Session) -> None:
    """Have sent at once what this session told of, with what it commits next."""
    _defer(session, due_channels(session))


def wake_due(session: Session, now: datetime) -> None:
    """Have sent what has become due by now (aware)."""
    _defer(session, session.execute(_DUE, {"channels": list(QUEUES), "now": now}).scalars().all())


def _defer(session: Session, channels: Iterable[str]) -> None:
    for channel in channels:
        name = f"{SEND_DELIVERIES}:{channel}"
        defer_once(session, SEND_DELIVERIES, {"channel": channel}, name=name, queue=QUEUES[channel])


def _send(session: Session, services: Services, channel: str, taken: Taken, now: datetime) -> bool:
    """Send one message and write down what became of it; whether the channel is in order."""
    told = {"channel": channel, "delivery_id": taken.message.delivery_id, "letters": len(taken.delivery_ids)}
    sender = SENDERS.get(channel, _no_sender)
    try:
        outcome = sender(session, taken.message, services)
    except Unavailable as error:
        again = deliveries.postpone(session, taken, now, "unavailable")
        log.warning("delivery.put_off", again=again, reason=str(error), **told)
        return False
    except RetryLater as error:
        again = deliveries.postpone(session, taken, now, "unreachable")
        log.info("delivery.put_off", again=again, reason=str(error), **told)
    except PermanentDeliveryError as error:
        deliveries.fail(session, taken.delivery_ids, "refused")
        log.warning("delivery.refused", reason=str(error), **told)
    except DBAPIError:
        raise
    except Exception:
        # One that cannot be sent must not keep all the others from being sent.
        session.rollback()
        deliveries.postpone(session, taken, now, "unexpected")
        log.exception("delivery.broken", **told)
    else:
        _note(session, taken, outcome)
        log.info(f"delivery.{outcome.status}", note=outcome.note, **told)
    return True


def _note(session: Session, taken: Taken, outcome: Outcome) -> None:
    if outcome.status == "sent":
        deliveries.sent(session, taken.delivery_ids, outcome.reference)
    else:
        deliveries.skip(session, taken.delivery_ids, outcome.note or "skipped")


def _no_sender(_session: Session, _message: OutboundMessage, _services: Services) -> Outcome:
    return Outcome("skipped", note="no_sender")
