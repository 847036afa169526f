"""Handlers that send mail: what people are written when something happened to their account."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.orm import Session

from marketplace_api.domain.identity.accounts import email_undo, recovery
from marketplace_api.gateways.email.templates import render
from marketplace_api.gateways.errors import PermanentDeliveryError
from marketplace_api.jobs.services import Services
from marketplace_api.models.identity.accounts import AccountSession, User
from marketplace_api.models.kernel.events import Event
from marketplace_api.models.outbound.webhooks import WebhookEndpoint

LIFETIMES = {recovery.RESET_PASSWORD: timedelta(hours=1), recovery.CONFIRM_EMAIL: timedelta(days=7)}
MOST_ADMINS = 100

log = structlog.get_logger(__name__)


def mail_confirmation(session: Session, event: Event, services: Services) -> None:
    """A link that confirms the address which waits for it: the new one, else that which was never confirmed or bounces.

    None for an account that an import made: its owner asked for nothing, and may once the password was reset.
    """
    user = session.get(User, event.subject_id)
    if event.new.get("imported"):
        return
    if user is None:
        return
    in_doubt = user.email_confirmed_at is None or user.email_bounced_at is not None
    address = user.pending_email or (user.email if in_doubt else None)
    if not address:
        return
    link, expires = _token_link(session, services, user, recovery.CONFIRM_EMAIL, address)
    _mail(session, services, "confirm_email", user, address, to_confirm=address, link=link, expires=expires)


def mail_password_reset(session: Session, event: Event, services: Services) -> None:
    """A link that sets a new password."""
    user = session.get(User, event.subject_id)
    if user is None or user.email is None:
        return
    link, expires = _token_link(session, services, user, recovery.RESET_PASSWORD, user.email)
    _mail(session, services, "password_reset", user, user.email, link=link, expires=expires)


def warn_old_address(session: Session, event: Event, services: Services) -> None:
    """Tells the address that still counts that another one is about to take its place."""
    user = session.get(User, event.subject_id)
    if user is None or user.email is None or user.pending_email is None:
        return
    _mail(session, services, "email_change_notice", user, user.email, new_email=user.pending_email)


def mail_email_changed(session: Session, event: Event, services: Services) -> None:
    """Tells the former address that another one took its place, with a link that undoes it; nothing, once that was used
    or has run out."""
    found = email_undo.issue_token(session, event.event_id) if event.new.get("changed") else None
    user = session.get(User, event.subject_id) if found is not None else None
    if found is None or user is None:
        return
    link = f"{services.settings.public_url.rstrip('/')}/undo-email-change/{found.token}"
    told = {"moment": event.date_created, "link": link, "expires": found.expires_at}
    _mail(session, services, "email_changed", user, found.email, **told)


def mail_password_changed(session: Session, event: Event, services: Services) -> None:
    user = session.get(User, event.subject_id)
    if user is not None and user.email is not None:
        _mail(session, services, "password_changed", user, user.email, moment=event.date_created)


def mail_session_theft(session: Session, event: Event, services: Services) -> None:
    """Tells the owner that a used refresh token came back, and which device it was made for."""
    row = session.get(AccountSession, event.subject_id)
    user = session.get(User, row.user_id) if row is not None else None
    if row is None or user is None or user.email is None:
        return
    device = f" ({row.device})" if row.device else ""
    _mail(session, services, "session_theft", user, user.email, moment=event.date_created, device_text=device)


def mail_deactivated(session: Session, event: Event, services: Services) -> None:
    """Says until when the account can be had back; nothing, if it was had back already."""
    user = session.get(User, event.subject_id)
    if user is None or user.email is None or user.state != "deactivated" or user.deactivated_at is None:
        return
    erased_on = user.deactivated_at + timedelta(days=services.settings.erase_days)
    _mail(session, services, "account_deactivated", user, user.email, erased_on=erased_on)


def mail_suspended(session: Session, event: Event, services: Services) -> None:
    """Says why, until when, and what can still be done; nothing, if that is over already."""
    user = _account_state_mail(session, event, "suspended")
    if user is not None:
        values = {"reason": user.state_reason, "until": user.suspended_until}
        _mail(session, services, "account_suspended", user, user.email or "", **values, **_appeals(services))


def mail_banned(session: Session, event: Event, services: Services) -> None:
    """Says why; nothing, if the ban was lifted already."""
    user = _account_state_mail(session, event, "banned")
    if user is not None:
        reason = user.state_reason
        _mail(session, services, "account_banned", user, user.email or "", reason=reason, **_appeals(services))


def mail_reinstated(session: Session, event: Event, services: Services) -> None:
    """Says that all is as before, and why; nothing, if the account was judged again since.

    The reason of an undone batch is for the log: it is about many.
    """
    user = _account_state_mail(session, event, "active")
    if user is not None:
        reason = None if event.new.get("undone") else event.reason
        was = (event.previous or {}).get("state", "suspended")
        _mail(session, services, "account_reinstated", user, user.email or "", reason=reason, was=was)


def mail_webhook_disabled(session: Session, event: Event, services: Services) -> None:
    """Tells admins of an endpoint that was switched off by its own fault, and was not switched on again since."""
    endpoint = session.get(WebhookEndpoint, event.subject_id)
    if endpoint is None or endpoint.status != "disabled" or event.new.get("disabled_reason") == "by_hand":
        return
    told = {
        "endpoint_id": endpoint.endpoint_id,
        "host": endpoint.url.split("/")[2],
        "failures": endpoint.failures,
        "gone": endpoint.disabled_reason == "gone",
        "link": services.settings.page_of(f"/admin/webhooks/{endpoint.endpoint_id}"),
    }
    admins = sa.select(User).where(User.roles.contains(["admin"]), User.state == "active", User.email.is_not(None))
    for user in session.execute(admins.order_by(User.user_id).limit(MOST_ADMINS)).scalars().all():
        _mail(session, services, "webhook_disabled", user, user.email or "", **told)


def _account_state_mail(session: Session, event: Event, state: str) -> User | None:
    """The account, if it is in the state that the event put it into and has an address."""
    user = session.get(User, event.subject_id)
    return user if user is not None and user.state == state and user.email is not None else None


def _appeals(services: Services) -> dict[str, str]:
    return {"reply_to": services.settings.email_appeals}


def _token_link(session: Session, services: Services, user: User, purpose: str, email: str) -> tuple[str, datetime]:
    """A link with a fresh token and when it ends; the link is the only place that ever holds the token itself."""
    settings = services.settings
    template = settings.reset_link if purpose == recovery.RESET_PASSWORD else settings.confirm_link
    now, lifetime = datetime.now(UTC), LIFETIMES[purpose]
    token = recovery.issue_token(session, user.user_id, purpose, email, now, lifetime)
    link = template.replace("{public_url}", settings.public_url.rstrip("/")).replace("{token}", token)
    return link, now + lifetime


def _mail(session: Session, services: Services, name: str, user: User, to: str, **context: Any) -> None:
    settings = services.settings
    user_id = user.user_id
    message = render(
        name, sender=settings.email_from, to=to, username=user.username, public_url=settings.public_url, **context
    )
    # The token in the mail must work the moment that it arrives, so its row is committed first.
    session.commit()
    try:
        services.mailer.send(message)
    except PermanentDeliveryError as error:
        log.warning("mail.refused", mail=name, user_id=user_id, reason=str(error))
    else:
        log.info("mail.sent", mail=name, user_id=user_id)
