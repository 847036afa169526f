"""The one table that says: when this happens, do that. Who is told, what is recounted.

A handler may run more than once for the same event, because a worker may die at any line; each one checks the present
state first, so that a repetition does no harm. For mail that means: a crash after sending and before the job is
marked done sends the message twice, but none is ever lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sqlalchemy.orm import Session

from marketplace_api.domain.kernel.events import EventType
from marketplace_api.jobs import maintenance
from marketplace_api.jobs.enqueue import Queue
from marketplace_api.jobs.outbound import email_handlers, notification_handlers, sms_sender
from marketplace_api.jobs.services import Services
from marketplace_api.models.kernel.events import Event

Handler = Callable[[Session, Event, Services], None]

HANDLERS: Mapping[str, tuple[Handler, ...]] = {
    EventType.USER_REGISTERED: (email_handlers.mail_confirmation,),
    EventType.USER_EMAIL_CHANGE_REQUESTED: (email_handlers.mail_confirmation, email_handlers.warn_old_address),
    EventType.USER_EMAIL_CONFIRMATION_REQUESTED: (email_handlers.mail_confirmation,),
    EventType.USER_PASSWORD_RESET_REQUESTED: (email_handlers.mail_password_reset,),
    EventType.USER_PASSWORD_CHANGED: (email_handlers.mail_password_changed, notification_handlers.notify_of_password),
    EventType.USER_LOGGED_IN: (notification_handlers.notify_of_login,),
    EventType.USER_PHONE_CODE_REQUESTED: (sms_sender.send_phone_code,),
    EventType.USER_PICTURE_CHANGED: (maintenance.clear_files,),
    EventType.USER_ERASED: (maintenance.erase_files,),
    EventType.USER_PREFERENCES_CHANGED: (maintenance.reschedule_deliveries,),
    EventType.LISTING_PHOTOS_CHANGED: (maintenance.clear_files,),
    EventType.LISTING_VIDEO_CHANGED: (maintenance.clear_files,),
    EventType.VERIFICATION_DOCUMENTS_PURGED: (maintenance.clear_files,),
    EventType.USER_DEACTIVATED: (email_handlers.mail_deactivated,),
    EventType.USER_SUSPENDED: (email_handlers.mail_suspended, notification_handlers.notify_of_judgement),
    EventType.USER_BANNED: (email_handlers.mail_banned,),
    EventType.USER_REINSTATED: (email_handlers.mail_reinstated, notification_handlers.notify_of_judgement),
    EventType.SESSION_REUSE_DETECTED: (email_handlers.mail_session_theft,),
    EventType.LISTING_CREATED: (maintenance.refresh_search_terms,),
    EventType.LISTING_EDITED: (maintenance.refresh_search_terms, notification_handlers.notify_keepers_of_price),
    EventType.LISTING_STATUS_CHANGED: (
        maintenance.refresh_search_terms,
        notification_handlers.notify_owner,
        notification_handlers.notify_keepers_of_sale,
    ),
    EventType.LISTING_DELETED: (maintenance.refresh_search_terms,),
    EventType.LISTING_RESTORED: (maintenance.refresh_search_terms,),
    EventType.LISTING_IMPORTED: (maintenance.refresh_search_terms,),
    EventType.MESSAGE_SENT: (notification_handlers.notify_of_message,),
    EventType.MESSAGE_DELETED: (notification_handlers.notify_sender,),
    EventType.REVIEW_POSTED: (notification_handlers.notify_of_review,),
    EventType.REVIEW_REPLIED: (notification_handlers.notify_of_reply,),
    EventType.VERIFICATION_APPROVED: (notification_handlers.notify_of_verification,),
    EventType.VERIFICATION_REJECTED: (notification_handlers.notify_of_verification,),
    EventType.VERIFICATION_EXPIRED: (notification_handlers.notify_of_verification,),
    EventType.REPORT_RESOLVED: (notification_handlers.notify_reporter,),
    EventType.REPORT_DISMISSED: (notification_handlers.notify_reporter,),
    EventType.WEBHOOK_DISABLED: (email_handlers.mail_webhook_disabled,),
    EventType.BATCH_PROGRESSED: (maintenance.refresh_search_terms, notification_handlers.notify_owners),
}
"""When an event of this type is recorded, each of its handlers becomes one job."""

DEBOUNCED: frozenset[Handler] = frozenset({maintenance.clear_files, maintenance.refresh_search_terms})
"""Handlers that look at no particular event, so that one waiting job stands for any number of events."""

QUEUES: Mapping[Handler, Queue] = {
    email_handlers.mail_confirmation: Queue.MAIL,
    email_handlers.warn_old_address: Queue.MAIL,
    email_handlers.mail_password_reset: Queue.MAIL,
    email_handlers.mail_password_changed: Queue.MAIL,
    email_handlers.mail_deactivated: Queue.MAIL,
    email_handlers.mail_suspended: Queue.MAIL,
    email_handlers.mail_banned: Queue.MAIL,
    email_handlers.mail_reinstated: Queue.MAIL,
    email_handlers.mail_session_theft: Queue.MAIL,
    email_handlers.mail_webhook_disabled: Queue.MAIL,
    sms_sender.send_phone_code: Queue.SMS,
    maintenance.clear_files: Queue.MEDIA,
    maintenance.erase_files: Queue.MEDIA,
}
"""Handlers whose jobs wait in another queue than the default one."""

BY_NAME: Mapping[str, Handler] = {handler.__name__: handler for handlers in HANDLERS.values() for handler in handlers}
"""Jobs name their handler, so a renamed one must keep its old name here until the queue has drained."""
