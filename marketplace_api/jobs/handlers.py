"""The one table that says: when this happens, do that. Who is told, what is recounted.

A handler may run more than once for the same event, because a worker may die at any line; each one checks the present
state first, so that a repetition does no harm. For mail that means: a crash after sending and before the job is
marked done sends the message twice, but none is ever lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sqlalchemy.orm import Session

from marketplace_api.domain.kernel.events import EventType
from marketplace_api.jobs.catalog.maintenance import refresh_search_terms
from marketplace_api.jobs.community import notification_handlers as community
from marketplace_api.jobs.enqueue import Queue
from marketplace_api.jobs.media.maintenance import clear_files
from marketplace_api.jobs.outbound import email_handlers, sms_sender
from marketplace_api.jobs.outbound import notification_handlers as outbound
from marketplace_api.jobs.outbound.maintenance import reschedule_deliveries
from marketplace_api.jobs.privacy.maintenance import erase_files
from marketplace_api.jobs.services import Services
from marketplace_api.jobs.trust import notification_handlers as trust
from marketplace_api.models.kernel.events import Event

Handler = Callable[[Session, Event, Services], None]

HANDLERS: Mapping[str, tuple[Handler, ...]] = {
    EventType.USER_REGISTERED: (email_handlers.mail_confirmation,),
    EventType.USER_EMAIL_CHANGE_REQUESTED: (email_handlers.mail_confirmation, email_handlers.warn_old_address),
    EventType.USER_EMAIL_CONFIRMATION_REQUESTED: (email_handlers.mail_confirmation,),
    EventType.USER_EMAIL_CONFIRMED: (email_handlers.mail_email_changed, outbound.notify_of_email),
    EventType.USER_EMAIL_CHANGE_UNDONE: (outbound.notify_of_email,),
    EventType.USER_PASSWORD_RESET_REQUESTED: (email_handlers.mail_password_reset,),
    EventType.USER_PASSWORD_CHANGED: (email_handlers.mail_password_changed, outbound.notify_of_password),
    EventType.USER_LOGGED_IN: (outbound.notify_of_login,),
    EventType.USER_PHONE_CODE_REQUESTED: (sms_sender.send_phone_code,),
    EventType.USER_PICTURE_CHANGED: (clear_files,),
    EventType.USER_ERASED: (erase_files,),
    EventType.USER_PREFERENCES_CHANGED: (reschedule_deliveries,),
    EventType.LISTING_PHOTOS_CHANGED: (clear_files,),
    EventType.LISTING_VIDEO_CHANGED: (clear_files,),
    EventType.VERIFICATION_DOCUMENTS_PURGED: (clear_files,),
    EventType.USER_DEACTIVATED: (email_handlers.mail_deactivated,),
    EventType.USER_SUSPENDED: (email_handlers.mail_suspended, outbound.notify_of_judgement),
    EventType.USER_BANNED: (email_handlers.mail_banned,),
    EventType.USER_REINSTATED: (email_handlers.mail_reinstated, outbound.notify_of_judgement),
    EventType.SESSION_REUSE_DETECTED: (email_handlers.mail_session_theft,),
    EventType.LISTING_CREATED: (refresh_search_terms,),
    EventType.LISTING_EDITED: (refresh_search_terms, outbound.notify_keepers_of_price),
    EventType.LISTING_STATUS_CHANGED: (refresh_search_terms, outbound.notify_owner, outbound.notify_keepers_of_sale),
    EventType.LISTING_DELETED: (refresh_search_terms,),
    EventType.LISTING_RESTORED: (refresh_search_terms,),
    EventType.LISTING_IMPORTED: (refresh_search_terms,),
    EventType.MESSAGE_SENT: (community.notify_of_message,),
    EventType.MESSAGE_DELETED: (trust.notify_sender,),
    EventType.REVIEW_POSTED: (community.notify_of_review,),
    EventType.REVIEW_REPLIED: (community.notify_of_reply,),
    EventType.VERIFICATION_APPROVED: (trust.notify_of_verification,),
    EventType.VERIFICATION_REJECTED: (trust.notify_of_verification,),
    EventType.VERIFICATION_EXPIRED: (trust.notify_of_verification,),
    EventType.REPORT_RESOLVED: (trust.notify_reporter,),
    EventType.REPORT_DISMISSED: (trust.notify_reporter,),
    EventType.WEBHOOK_DISABLED: (email_handlers.mail_webhook_disabled,),
    EventType.BATCH_PROGRESSED: (refresh_search_terms, trust.notify_owners),
}
"""When an event of this type is recorded, each of its handlers becomes one job."""

DEBOUNCED: frozenset[Handler] = frozenset({clear_files, refresh_search_terms})
"""Handlers that look at no particular event, so that one waiting job stands for any number of events."""

QUEUES: Mapping[Handler, Queue] = {
    email_handlers.mail_confirmation: Queue.MAIL,
    email_handlers.warn_old_address: Queue.MAIL,
    email_handlers.mail_email_changed: Queue.MAIL,
    email_handlers.mail_password_reset: Queue.MAIL,
    email_handlers.mail_password_changed: Queue.MAIL,
    email_handlers.mail_deactivated: Queue.MAIL,
    email_handlers.mail_suspended: Queue.MAIL,
    email_handlers.mail_banned: Queue.MAIL,
    email_handlers.mail_reinstated: Queue.MAIL,
    email_handlers.mail_session_theft: Queue.MAIL,
    email_handlers.mail_webhook_disabled: Queue.MAIL,
    sms_sender.send_phone_code: Queue.SMS,
    clear_files: Queue.MEDIA,
    erase_files: Queue.MEDIA,
}
"""Handlers whose jobs wait in another queue than the default one."""

BY_NAME: Mapping[str, Handler] = {handler.__name__: handler for handlers in HANDLERS.values() for handler in handlers}
"""Jobs name their handler, so a renamed one must keep its old name here until the queue has drained."""
