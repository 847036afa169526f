"""Web push: one notification to all browsers that take those of an account."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import structlog
from sqlalchemy.orm import Session

from marketplace_api.domain.outbound.notifications.deliveries import OutboundMessage
from marketplace_api.domain.outbound.notifications.types import is_urgent
from marketplace_api.domain.outbound.push_subscriptions import queries, subscriptions
from marketplace_api.errors import Unavailable
from marketplace_api.gateways.errors import PermanentDeliveryError
from marketplace_api.gateways.webpush import Push, PushSender, SubscriptionGone, Target
from marketplace_api.jobs.outbound.sender import Outcome, RetryLater
from marketplace_api.jobs.services import Services

TTL_SECONDS = 24 * 3600
"""A browser that is not reached within a day is not told any more; what was told stands in the application."""

LONGEST_TITLE, LONGEST_BODY = 100, 400
PAUSE_SECONDS = 60

log = structlog.get_logger(__name__)


def send_push(session: Session, message: OutboundMessage, services: Services) -> Outcome:
    """The sender of the channel ``web_push``.

    What one browser took counts as sent, and is not repeated for the others. Where a push service does not answer, only
    its browser waits: a channel is not out of order for what may be one person's own server.
    """
    push, sender = _push(message), services.push
    results = [
        "paused" if row.is_paused else _send(session, sender, row.subscription_id, _target(row), push)
        for row in queries.targets(session, message.user_id)
    ]
    if "sent" in results:
        return Outcome("sent")
    if "paused" in results:
        raise RetryLater("No browser could be reached.")
    if "refused" in results:
        raise PermanentDeliveryError("No push service took the notification.")
    return Outcome("skipped", note="no_browser")


def _send(session: Session, sender: PushSender, subscription_id: int, target: Target, push: Push) -> str:
    """``sent``, ``paused``, ``gone`` or ``refused``."""
    told = {"subscription_id": subscription_id}
    try:
        sender.send(target, push)
    except SubscriptionGone as error:
        subscriptions.delete(session, subscription_id)
        log.info("push.gone", reason=str(error), **told)
        return "gone"
    except PermanentDeliveryError as error:
        log.warning("push.refused", reason=str(error), **told)
        return "refused"
    except Unavailable as error:
        seconds = error.retry_after if error.retry_after is not None else PAUSE_SECONDS
        queries.pause(session, subscription_id, datetime.now(UTC) + timedelta(seconds=seconds))
        log.warning("push.put_off", reason=str(error), seconds=seconds, **told)
        return "paused"
    queries.note_sent(session, subscription_id)
    return "sent"


def _target(row: object) -> Target:
    return Target(row.endpoint, row.p256dh, row.auth)  # type: ignore[attr-defined]


def _push(message: OutboundMessage) -> Push:
    payload = {
        "title": _short(message.title, LONGEST_TITLE),
        "body": _short(message.text, LONGEST_BODY),
        "url": message.url,
        "type": message.type,
        "group": message.group_key,
        "count": message.count,
    }
    urgency = "high" if is_urgent(message.type) else "normal"
    return Push(payload, TTL_SECONDS, urgency, None if message.group_key is None else _topic(message))


def _topic(message: OutboundMessage) -> str:
    """What names the group to a push service and tells it nothing: 32 characters (RFC 8030, section 5.4)."""
    digest = sha256(f"{message.user_id}:{message.group_key}".encode()).digest()
    return urlsafe_b64encode(digest[:24]).decode()


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"
