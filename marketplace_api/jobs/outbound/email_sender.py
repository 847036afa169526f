"""The sender of e-mails: one notification in each, or those of a day."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.domain.outbound.notifications.deliveries import DIGEST, OutboundMessage
from marketplace_api.domain.outbound.notifications.types import is_fixed, is_urgent
from marketplace_api.domain.outbound.notifications.unsubscribe import PREFERENCES, Subscription, token_for
from marketplace_api.gateways.email.templates import NEWS, domain_of, render
from marketplace_api.jobs.outbound.sender import Outcome
from marketplace_api.jobs.services import Services
from marketplace_api.models.identity.accounts import User

_u = User.__table__.c


def send_mail(session: Session, message: OutboundMessage, services: Services) -> Outcome:
    """Send a message to the address of its receiver, if that is theirs and takes mail.

    To an address that nobody confirmed or that bounces goes only what guards the account.
    """
    statement = sa.select(_u.username, _u.email, _u.email_confirmed_at, _u.email_bounced_at)
    user = session.execute(statement.where(_u.user_id == message.user_id)).one()
    if user.email is None:
        return Outcome("skipped", note="no_address")
    if not is_urgent(message.type) and user.email_confirmed_at is None:
        return Outcome("skipped", note="unconfirmed")
    if not is_urgent(message.type) and user.email_bounced_at is not None:
        return Outcome("skipped", note="bouncing")
    mail = _message(message, services, user)
    services.mailer.send(mail)
    return Outcome("sent", reference=str(mail["Message-ID"]))


def _message(message: OutboundMessage, services: Services, user: Any) -> Any:
    settings = services.settings
    # The same for the same delivery, so that one sent twice after a crash can be told by who receives it.
    moment = round(message.date_created.timestamp() * 1_000_000)
    headers = {"Message-ID": f"<{message.delivery_id}.{moment:x}@{domain_of(settings.email_from)}>"}
    link = ""
    if message.type == DIGEST or not is_fixed(message.type, "email"):
        token = token_for(settings.secret, Subscription(message.user_id, message.type))
        link = f"{settings.public_url.rstrip('/')}/unsubscribe/{token}"
        headers |= {
            "List-Unsubscribe": f"<{link}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
            "Precedence": "bulk",
        }
    return render(
        NEWS,
        sender=settings.email_from,
        to=user.email,
        subject=message.title,
        headers=headers,
        username=user.username,
        text=message.text,
        url=message.url,
        items=message.items,
        unsubscribe=link,
        preferences=settings.page_of(PREFERENCES),
    )
