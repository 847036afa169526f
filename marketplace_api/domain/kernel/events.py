"""The one way to record that something happened: a row in the same transaction as the change itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.orm import Session

from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.models.kernel.events import Event

# In one statement, however many there are.
_INSERT_MANY = sa.text(
    """
    INSERT INTO events
        (type, actor_id, actor_name, subject_type, subject_id, previous, new, reason, request_id)
    SELECT :type, CAST(:actor_id AS bigint), :actor_name, :subject_type, entry.subject_id, entry.previous,
        coalesce(entry.new, '{}'), :reason, :request_id
    FROM jsonb_to_recordset(CAST(:entries AS jsonb)) AS entry (subject_id bigint, previous jsonb, new jsonb)
    """
)


class EventType(StrEnum):
    """Every kind of event; the part before the dot is the subject's type."""

    USER_REGISTERED = "user.registered"
    USER_EDITED = "user.edited"
    USER_EMAIL_CHANGE_REQUESTED = "user.email_change_requested"
    USER_EMAIL_CONFIRMATION_REQUESTED = "user.email_confirmation_requested"
    USER_EMAIL_CONFIRMED = "user.email_confirmed"
    USER_EMAIL_CHANGE_UNDONE = "user.email_change_undone"
    USER_EMAIL_BOUNCED = "user.email_bounced"
    USER_PASSWORD_RESET_REQUESTED = "user.password_reset_requested"
    USER_PASSWORD_CHANGED = "user.password_changed"
    USER_LOGGED_IN = "user.logged_in"
    USER_ROLES_CHANGED = "user.roles_changed"
    USER_DEACTIVATED = "user.deactivated"
    USER_REACTIVATED = "user.reactivated"
    USER_ERASED = "user.erased"
    USER_SUSPENDED = "user.suspended"
    USER_REINSTATED = "user.reinstated"
    USER_BANNED = "user.banned"
    SESSION_ENDED = "session.ended"
    SESSION_REUSE_DETECTED = "session.reuse_detected"
    LISTING_CREATED = "listing.created"
    LISTING_EDITED = "listing.edited"
    LISTING_STATUS_CHANGED = "listing.status_changed"
    LISTING_DELETED = "listing.deleted"
    LISTING_RESTORED = "listing.restored"
    LISTING_IMPORTED = "listing.imported"
    LISTING_PHOTOS_CHANGED = "listing.photos_changed"
    LISTING_VIDEO_CHANGED = "listing.video_changed"
    USER_PICTURE_CHANGED = "user.picture_changed"
    REVIEW_POSTED = "review.posted"
    REVIEW_REPLIED = "review.replied"
    REVIEW_EDITED = "review.edited"
    REVIEW_DELETED = "review.deleted"
    REVIEW_RESTORED = "review.restored"
    MESSAGE_SENT = "message.sent"
    MESSAGE_READ = "message.read"
    MESSAGE_OPENED = "message.opened"
    MESSAGE_DELETED = "message.deleted"
    MESSAGE_RESTORED = "message.restored"
    CONVERSATION_READ = "conversation.read"
    CONVERSATION_ARCHIVED = "conversation.archived"
    CONVERSATION_UNARCHIVED = "conversation.unarchived"
    CONVERSATION_HIDDEN = "conversation.hidden"
    BLOCK_ADDED = "block.added"
    BLOCK_REMOVED = "block.removed"
    VERIFICATION_SUBMITTED = "verification.submitted"
    VERIFICATION_APPROVED = "verification.approved"
    VERIFICATION_REJECTED = "verification.rejected"
    VERIFICATION_EXPIRED = "verification.expired"
    VERIFICATION_DOCUMENT_OPENED = "verification.document_opened"
    VERIFICATION_DOCUMENTS_PURGED = "verification.documents_purged"
    USER_PREFERENCES_CHANGED = "user.preferences_changed"
    USER_PHONE_CODE_REQUESTED = "user.phone_code_requested"
    USER_PHONE_CONFIRMED = "user.phone_confirmed"
    USER_PHONE_REMOVED = "user.phone_removed"
    PUSH_SUBSCRIBED = "push_subscription.added"
    PUSH_UNSUBSCRIBED = "push_subscription.removed"
    BATCH_STARTED = "batch.started"
    BATCH_PROGRESSED = "batch.progressed"
    BATCH_FINISHED = "batch.finished"
    BATCH_UNDO_STARTED = "batch.undo_started"
    BATCH_UNDONE = "batch.undone"
    REPORT_MADE = "report.made"
    REPORT_ASSIGNED = "report.assigned"
    REPORT_RESOLVED = "report.resolved"
    REPORT_DISMISSED = "report.dismissed"
    KEY_ISSUED = "key.issued"
    KEY_REVOKED = "key.revoked"
    EVENT_MONTH_DROPPED = "event.month_dropped"
    WEBHOOK_CREATED = "webhook.created"
    WEBHOOK_EDITED = "webhook.edited"
    WEBHOOK_DELETED = "webhook.deleted"
    WEBHOOK_SECRET_ROTATED = "webhook.secret_rotated"
    WEBHOOK_ENABLED = "webhook.enabled"
    WEBHOOK_DISABLED = "webhook.disabled"
    WEBHOOK_TESTED = "webhook.tested"
    WEBHOOK_RESENT = "webhook.resent"
    NOTIFICATION_CREATED = "notification.created"
    NOTIFICATION_READ = "notification.read"


DESCRIPTIONS: Mapping[EventType, str] = {
    EventType.USER_REGISTERED: "An account was made.",
    EventType.USER_EDITED: "A profile changed.",
    EventType.USER_EMAIL_CHANGE_REQUESTED: "A new e-mail address waits for its confirmation; the old one is told.",
    EventType.USER_EMAIL_CONFIRMATION_REQUESTED: "The confirmation mail was asked for again.",
    EventType.USER_EMAIL_CONFIRMED: "An e-mail address was confirmed by its token; `new` says whether it took another's place.",
    EventType.USER_EMAIL_CHANGE_UNDONE: "The former e-mail address came back by the link that it was sent; all sessions ended.",
    EventType.USER_EMAIL_BOUNCED: "Mail to an account came back; only what guards it is sent until it is confirmed.",
    EventType.USER_PASSWORD_RESET_REQUESTED: "A reset mail was asked for.",
    EventType.USER_PASSWORD_CHANGED: "A password changed; other sessions ended.",
    EventType.USER_LOGGED_IN: "A session began; `new` says whether on a device never seen before.",
    EventType.USER_ROLES_CHANGED: "Roles changed; sessions ended.",
    EventType.USER_DEACTIVATED: "The owner deactivated the account; erasure follows.",
    EventType.USER_REACTIVATED: "The owner came back before the erasure.",
    EventType.USER_ERASED: "Personal data was erased.",
    EventType.USER_SUSPENDED: "A moderator suspended an account, until a time or until further notice.",
    EventType.USER_REINSTATED: "A suspension or ban was lifted.",
    EventType.USER_BANNED: "A moderator banned an account; its sessions ended and its listings are hidden.",
    EventType.SESSION_ENDED: "A session was ended before its time.",
    EventType.SESSION_REUSE_DETECTED: "An old refresh token came back; the session was ended.",
    EventType.LISTING_CREATED: "A listing was made.",
    EventType.LISTING_EDITED: "A listing's content changed.",
    EventType.LISTING_STATUS_CHANGED: "A workflow step moved a listing to another status.",
    EventType.LISTING_DELETED: "A listing was deleted (it can be restored for 30 days).",
    EventType.LISTING_RESTORED: "A deleted listing came back.",
    EventType.LISTING_IMPORTED: "A part of a file of listings was imported, without a `listing.created` for each. `new` has "
    "`listing_ids`, pairs of a first and a last id with all between, and counts the rows of the part: `read`, `created`, "
    "`skipped` (there already) and `bad` (left out).",
    EventType.LISTING_PHOTOS_CHANGED: "Photos of a listing were added, removed, put into another order or described.",
    EventType.LISTING_VIDEO_CHANGED: "A listing got another video, or has none any more.",
    EventType.USER_PICTURE_CHANGED: "An account got another picture, or has none any more.",
    EventType.REVIEW_POSTED: "A listing or a person was reviewed; `new` has the ids and the rating.",
    EventType.REVIEW_REPLIED: "The reviewed side replied to a review.",
    EventType.REVIEW_EDITED: "A moderator edited a review; `new` names the fields.",
    EventType.REVIEW_DELETED: "A moderator deleted a review; it counts no more.",
    EventType.REVIEW_RESTORED: "A deleted review came back; it counts again.",
    EventType.MESSAGE_SENT: "A message was sent; `new` has the ids of conversation, sender, receiver and listing.",
    EventType.MESSAGE_READ: "The receiver read one message.",
    EventType.MESSAGE_OPENED: "An operator read a message that was reported.",
    EventType.MESSAGE_DELETED: "A moderator removed a message that was reported; neither of the two reads it any more.",
    EventType.MESSAGE_RESTORED: "A removed message came back.",
    EventType.CONVERSATION_READ: "Everything in a conversation was read by one side; `new` counts the messages.",
    EventType.CONVERSATION_ARCHIVED: "One side archived a conversation.",
    EventType.CONVERSATION_UNARCHIVED: "One side took a conversation out of the archive.",
    EventType.CONVERSATION_HIDDEN: "One side deleted a conversation from its own view.",
    EventType.BLOCK_ADDED: "Somebody blocked another person; `new` has both ids.",
    EventType.BLOCK_REMOVED: "Somebody takes another person's messages again; `new` has both ids.",
    EventType.VERIFICATION_SUBMITTED: "A document waits for moderators; here and below `new` has `user_id` and dates.",
    EventType.VERIFICATION_APPROVED: "A moderator is convinced: the account is verified.",
    EventType.VERIFICATION_REJECTED: "A moderator is not convinced; `reason` says why.",
    EventType.VERIFICATION_EXPIRED: "An approval is over by the clock, or was ended: the account is not verified any more.",
    EventType.VERIFICATION_DOCUMENT_OPENED: "A moderator opened a document; `reason` says why.",
    EventType.VERIFICATION_DOCUMENTS_PURGED: "A document was deleted some time after the decision; its name stays.",
    EventType.USER_PREFERENCES_CHANGED: "Somebody chose what they want to be told of; `new` names the fields.",
    EventType.USER_PHONE_CODE_REQUESTED: "A code for a telephone number was asked for; here and below without the number.",
    EventType.USER_PHONE_CONFIRMED: "An account has shown that it holds a telephone number.",
    EventType.USER_PHONE_REMOVED: "An account has no telephone number any more: by its owner, or another account has it now.",
    EventType.PUSH_SUBSCRIBED: "A browser takes notifications; `new` has the `user_id`.",
    EventType.PUSH_UNSUBSCRIBED: "A browser takes no notifications any more; `new` has the `user_id` whose it was.",
    EventType.BATCH_STARTED: "Moderation of many things at once began; `new` has action, target and conditions.",
    EventType.BATCH_PROGRESSED: "A part of a batch, or of its undoing, was committed; each thing has its own event.",
    EventType.BATCH_FINISHED: "A batch was done; `new` counts what changed and what was skipped.",
    EventType.BATCH_UNDO_STARTED: "A batch began to be undone.",
    EventType.BATCH_UNDONE: "A batch was undone; `new` counts what was restored and what was kept.",
    EventType.REPORT_MADE: "Something was reported; `new` has the ids and the reason from the list.",
    EventType.REPORT_ASSIGNED: "A moderator took a report on, or got it, and can read its message from then on.",
    EventType.REPORT_RESOLVED: "A moderator found a report to be right; `new` names its reporter and its subject.",
    EventType.REPORT_DISMISSED: "A moderator found nothing to do about a report; `new` names reporter and subject.",
    EventType.KEY_ISSUED: "An API key was made; `new` has its name, its scopes and its end.",
    EventType.KEY_REVOKED: "An API key was revoked.",
    EventType.EVENT_MONTH_DROPPED: "A month of events went, for it was old enough; `new` has the month and its last id.",
    EventType.WEBHOOK_CREATED: "An admin made a webhook; `new` has the types that it is told of.",
    EventType.WEBHOOK_EDITED: "A webhook changed; `new` names the fields.",
    EventType.WEBHOOK_DELETED: "A webhook was deleted.",
    EventType.WEBHOOK_SECRET_ROTATED: "A webhook got another secret; the old one signs for a day as well.",
    EventType.WEBHOOK_ENABLED: "A webhook is told of events again.",
    EventType.WEBHOOK_DISABLED: "A webhook is told of nothing more; `new` says why: by hand, gone, failing.",
    EventType.WEBHOOK_TESTED: "A test was sent to a webhook.",
    EventType.WEBHOOK_RESENT: "An event was sent to a webhook once more; `new` has the ids of both deliveries.",
    EventType.NOTIFICATION_CREATED: "Somebody was told of something, or of one more of the same; `new` names whom.",
    EventType.NOTIFICATION_READ: "Somebody read a notification or all of them, or took one away; `new` names whom.",
}


def record(
    session: Session,
    actor: Actor,
    type: EventType,
    subject_id: int | None,
    *,
    previous: Mapping[str, Any] | None = None,
    new: Mapping[str, Any] | None = None,
    on_behalf_of: int | None = None,
) -> Event:
    """Append an event to the log inside the session's transaction and pass it to the jobs that follow from it.

    ``previous`` and ``new`` hold JSON-ready values of what changed; never a password, token or document.
    """
    event = Event(**_values(actor, type, Entry(subject_id, previous, new)), on_behalf_of_id=on_behalf_of)
    _append(session, [event])
    return event


@dataclass(frozen=True, slots=True)
class Entry:
    """What happened to one of many subjects: its id, and the values before and after."""

    subject_id: int | None
    previous: Mapping[str, Any] | None
    new: Mapping[str, Any] | None


def record_all(session: Session, actor: Actor, type: EventType, entries: Sequence[Entry]) -> None:
    """:func:`record` for many subjects to which the same happened, at a fraction of the cost."""
    _append(session, [Event(**_values(actor, type, entry)) for entry in entries])


def record_quietly(session: Session, actor: Actor, type: EventType, entries: Sequence[Entry]) -> None:
    """:func:`record_all` without jobs: whoever does something to very many lets them follow once for all."""
    if entries:
        session.execute(_INSERT_MANY, {**_common(actor, type), "entries": orjson.dumps(entries).decode()})


def _values(actor: Actor, type: EventType, entry: Entry) -> dict[str, Any]:
    return {
        **_common(actor, type),
        "subject_id": entry.subject_id,
        "previous": dict(entry.previous) if entry.previous is not None else None,
        "new": dict(entry.new or {}),
    }


def _common(actor: Actor, type: EventType) -> dict[str, Any]:
    """What the events of one type by one actor share."""
    return {
        "type": type.value,
        "actor_id": actor.user_id,
        # Of an account only the id: the log outlives the erasure of names.
        "actor_name": None if actor.user_id is not None else actor.username or None,
        "subject_type": type.value.partition(".")[0],
        "reason": actor.reason,
        "request_id": actor.request_id,
    }


def _append(session: Session, events: Sequence[Event]) -> None:
    session.add_all(events)
    session.flush()
    on_event = session.info.get("on_event")
    if on_event is not None:
        for event in events:
            on_event(session, event)
