"""Text messages: the code that confirms a number, and notifications for numbers that were confirmed."""

from __future__ import annotations

import structlog
from sqlalchemy.orm import Session

from marketplace_api.domain.identity.accounts.config import AccountRules
from marketplace_api.domain.outbound.notifications.deliveries import OutboundMessage
from marketplace_api.domain.outbound.phones import confirmation, queries
from marketplace_api.gateways.email.templates import service_of
from marketplace_api.gateways.errors import PermanentDeliveryError
from marketplace_api.gateways.sms import NumberStopped
from marketplace_api.gateways.sms.text import compose
from marketplace_api.jobs.outbound.sender import Outcome
from marketplace_api.jobs.services import Services
from marketplace_api.models.kernel.events import Event

log = structlog.get_logger(__name__)


def send_phone_code(session: Session, event: Event, services: Services) -> None:
    """A code for the number that waits; nothing, if another one was asked for since, or nobody waits any more."""
    user_id = event.subject_id or 0
    rules = AccountRules.from_settings(services.settings)
    made = confirmation.make_code(session, rules, user_id, event.event_id)
    if made is None:
        return
    number, code = made
    # The code must count the moment that it arrives, so its row is committed first.
    session.commit()
    text = f"{_service(services)}: your code is {code}. It is good for ten minutes. We never ask you for it."
    try:
        services.sms.send(number, text)
    except NumberStopped:
        queries.stop(session, rules, number)
        confirmation.note_problem(session, user_id, event.event_id, "stopped")
    except PermanentDeliveryError as error:
        confirmation.note_problem(session, user_id, event.event_id, "undeliverable")
        log.warning("phone_code.refused", user_id=user_id, reason=str(error))
    else:
        log.info("phone_code.sent", user_id=user_id)


def send_sms(session: Session, message: OutboundMessage, services: Services) -> Outcome:
    """The sender of the channel ``sms``: to the number that the account has confirmed, unless its holder said STOP."""
    rules = AccountRules.from_settings(services.settings)
    number = queries.confirmed_number(session, message.user_id)
    if number is None:
        return Outcome("skipped", note="no_number")
    if queries.is_stopped(session, rules, number):
        return Outcome("skipped", note="stopped")
    try:
        reference = services.sms.send(number, compose(f"{_service(services)}: {message.text}", message.url))
    except NumberStopped:
        queries.stop(session, rules, number)
        return Outcome("skipped", note="stopped")
    return Outcome("sent", reference=reference)


def _service(services: Services) -> str:
    """The name under which the service writes to people."""
    return service_of(services.settings.email_from)
