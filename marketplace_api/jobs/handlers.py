"""The one table that says: when this happens, do that. Who is told, what is recounted.

A handler may run more than once for the same event, because a worker may die at any line; each one checks the present
state first, so that a repetition does no harm. For mail that means: a crash after sending and before the job is
marked done sends the message twice, but none is ever lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sqlalchemy.orm import Session

from marketplace_api.domain.events import EventType
from marketplace_api.jobs import care, mails, notices, text_messages
from marketplace_api.jobs.outbox import Queue
from marketplace_api.jobs.services import Services
from marketplace_api.models.events import Event

Handler = Callable[[Session, Event, Services], None]

HANDLERS: Mapping[str, tuple[Handler, ...]] = {
    EventType.USER_REGISTERED: (mails.mail_confirmation,),
    EventType.USER_EMAIL_CHANGE_REQUESTED: (mails.mail_confirmation, mails.warn_old_address),
    EventType.USER_EMAIL_CONFIRMATION_REQUESTED: (mails.mail_confirmation,),
    EventType.USER_PASSWORD_RESET_REQUESTED: (mails.mail_password_reset,),
    EventType.USER_PASSWORD_CHANGED: (mails.mail_password_changed, notices.notify_of_password),
    EventType.USER_LOGGED_IN: (notices.notify_of_login,),
    EventType.USER_PHONE_CODE_REQUESTED: (text_messages.send_phone_code,),
    EventType.USER_PICTURE_CHANGED: (care.clear_files,),
    EventType.USER_ERASED: (care.erase_files,),
    EventType.USER_PREFERENCES_CHANGED: (care.reschedule_deliveries,),
    EventType.LISTING_PHOTOS_CHANGED: (care.clear_files,),
    EventType.LISTING_VIDEO_CHANGED: (care.clear_files,),
    EventType.VERIFICATION_DOCUMENTS_PURGED: (care.clear_files,),
    EventType.USER_DEACTIVATED: (mails.mail_deactivated,),
    EventType.USER_SUSPENDED: (mails.mail_suspended, notices.notify_of_judgement),
    EventType.USER_BANNED: (mails.mail_banned,),
    EventType.USER_REINSTATED: (mails.mail_reinstated, notices.notify_of_judgement),
    EventType.SESSION_REUSE_DETECTED: (mails.mail_session_theft,),
    EventType.LISTING_CREATED: (care.refresh_search_terms,),
    EventType.LISTING_EDITED: (care.refresh_search_terms, notices.notify_keepers_of_price),
    EventType.LISTING_STATUS_CHANGED: (
        care.refresh_search_terms,
        notices.notify_owner,
        notices.notify_keepers_of_sale,
    ),
    EventType.LISTING_DELETED: (care.refresh_search_terms,),
    EventType.LISTING_RESTORED: (care.refresh_search_terms,),
    EventType.LISTING_IMPORTED: (care.refresh_search_terms,),
    EventType.MESSAGE_SENT: (notices.notify_of_message,),
    EventType.MESSAGE_DELETED: (notices.notify_sender,),
    EventType.REVIEW_POSTED: (notices.notify_of_review,),
    EventType.REVIEW_REPLIED: (notices.notify_of_reply,),
    EventType.VERIFICATION_APPROVED: (notices.notify_of_verification,),
    EventType.VERIFICATION_REJECTED: (notices.notify_of_verification,),
    EventType.VERIFICATION_EXPIRED: (notices.notify_of_verification,),
    EventType.REPORT_RESOLVED: (notices.notify_reporter,),
    EventType.REPORT_DISMISSED: (notices.notify_reporter,),
    EventType.WEBHOOK_DISABLED: (mails.mail_webhook_disabled,),
    EventType.BATCH_PROGRESSED: (care.refresh_search_terms, notices.notify_owners),
}
"""When an event of this type is recorded, each of its handlers becomes one job."""

DEBOUNCED: frozenset[Handler] = frozenset({care.clear_files, care.refresh_search_terms})
"""Handlers that look at no particular event, so that one waiting job stands for any number of events."""

QUEUES: Mapping[Handler, Queue] = {
    mails.mail_confirmation: Queue.MAIL,
    mails.warn_old_address: Queue.MAIL,
    mails.mail_password_reset: Queue.MAIL,
    mails.mail_password_changed: Queue.MAIL,
    mails.mail_deactivated: Queue.MAIL,
    mails.mail_suspended: Queue.MAIL,
    mails.mail_banned: Queue.MAIL,
    mails.mail_reinstated: Queue.MAIL,
    mails.mail_session_theft: Queue.MAIL,
    mails.mail_webhook_disabled: Queue.MAIL,
    text_messages.send_phone_code: Queue.SMS,
    care.clear_files: Queue.MEDIA,
    care.erase_files: Queue.MEDIA,
}
"""Handlers whose jobs wait in another queue than the default one."""

BY_NAME: Mapping[str, Handler] = {handler.__name__: handler for handlers in HANDLERS.values() for handler in handlers}
"""Jobs name their handler, so a renamed one must keep its old name here until the queue has drained."""
