"""Notifications and their preferences as they go out: in words, with links to what they are about as long as it is there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from pyramid.request import Request

from marketplace_api.domain.notifications.kinds import NotificationType as T
from marketplace_api.domain.notifications.texts import text_of
from marketplace_api.domain.paging import Page
from marketplace_api.hal.paging import collection
from marketplace_api.hal.registry import represents
from marketplace_api.hal.representation import HAL_FORMS, Links, Representation, link
from marketplace_api.resources.notifications import (
    PATH,
    PREFERENCES,
    NotificationContext,
    NotificationPreferencesContext,
    NotificationsContext,
)

_IDS = ("actor_id", "listing_id", "conversation_id", "review_id", "session_id")
_PRICES = ("previous_price", "price", "currency")


def _conversation(row: Any) -> str | None:
    return f"/api/conversations/{row.conversation_id}" if row.conversation_is_open else None


def _conversations(_row: Any) -> str:
    return "/api/conversations"  # one message of several may be in another, or deleted from its sender's view


def _review(row: Any) -> str | None:
    return f"/api/reviews/{row.review_id}" if row.review_is_open else None


def _listing(row: Any) -> str | None:
    if row.listing_id is None:
        return "/api/users/me/listings"  # of several at once
    return f"/api/listings/{row.listing_id}" if row.listing_is_open else None


def _session(row: Any) -> str | None:
    return f"/api/auth/sessions/{row.session_id}" if row.session_is_open else None


def _account(_row: Any) -> str:
    return "/api/users/me"


def _verification(_row: Any) -> str:
    return "/api/users/me/verification"


def _report(row: Any) -> str:
    return f"/api/reports/{row.data['report_id']}"


# The field with the id of what it is about, and where that is found.
_SUBJECTS: Mapping[T, tuple[str, Callable[[Any], str | None]]] = {
    T.NEW_MESSAGE: ("message_id", _conversation),
    T.MESSAGE_REMOVED: ("message_id", _conversations),
    T.REVIEW_RECEIVED: ("review_id", _review),
    T.REVIEW_REPLIED: ("review_id", _review),
    **dict.fromkeys(
        (T.VERIFICATION_APPROVED, T.VERIFICATION_REJECTED, T.VERIFICATION_EXPIRED), ("verification_id", _verification)
    ),
    **dict.fromkeys(
        (
            T.LISTING_VERIFIED, T.LISTING_REJECTED, T.LISTING_SUSPENDED, T.LISTING_REINSTATED,
            T.BOOKMARK_PRICE_DROPPED, T.BOOKMARK_SOLD,
        ),
        ("listing_id", _listing),
    ),
    **dict.fromkeys((T.REPORT_RESOLVED, T.REPORT_DISMISSED), ("report_id", _report)),
    **dict.fromkeys((T.PASSWORD_CHANGED, T.ACCOUNT_SUSPENDED, T.ACCOUNT_REINSTATED), ("user_id", _account)),
    T.NEW_LOGIN: ("session_id", _session),
}  # fmt: skip


@represents(NotificationContext)
def notification(context: NotificationContext, fields: Collection[str] = ()) -> Representation:
    """One notification."""
    return _notification(context, context, fields)


def notifications(
    request: Request, page: Page, unread: int, context: NotificationsContext, fields: Collection[str] = ()
) -> Representation:
    """One page of the caller's notifications; ``unread`` counts all that were not read."""
    with_forms = request.media == HAL_FORMS
    contexts = [NotificationContext(request, None, str(row.notification_id), row) for row in page.items]
    items = [_notification(each, each if with_forms else None, fields) for each in contexts]
    shown = collection(request, "notifications", items, page, PATH, context=context, extra={"unreadCount": unread})
    shown.links["mkt:notification-preferences"] = link(PREFERENCES)
    return shown


def _notification(
    seen: NotificationContext, context: NotificationContext | None, fields: Collection[str]
) -> Representation:
    row = seen.row
    text = text_of(row)
    data = _data(row)
    name, place = _SUBJECTS[T(row.type)]
    values = {
        "notification_id": row.notification_id,
        "user_id": row.user_id,
        "type": row.type,
        "related_entity_id": row.user_id if name == "user_id" else data.get(name),
        "title": text.title,
        "content": text.content,
        "count": row.count,
        "data": data,
        "is_read": row.is_read,
        "timestamp_created": row.date_created,
        "timestamp_updated": row.date_updated,
    }
    shown = {n: v for n, v in values.items() if n in fields or n == "notification_id"} if fields else values
    return Representation(shown, _links(seen, place(row)), context=context, values=values)


def _links(seen: NotificationContext, subject: str | None) -> Links:
    row = seen.row
    links: Links = {"self": link(seen.path), "collection": link(PATH)}
    if subject is not None:
        links["about"] = link(subject)
    if row.listing_is_open:
        links["mkt:listing"] = link(f"/api/listings/{row.listing_id}")
    if row.actor_username is not None:
        links["author"] = link(f"/api/users/{row.actor_id}")
    return links


def _data(row: Any) -> dict[str, Any]:
    """The ids of what it is about, and prices as long as the listing may be seen."""
    ids = {name: value for name in _IDS if (value := getattr(row, name)) is not None}
    more = {name: value for name, value in row.data.items() if name not in _PRICES or row.listing_is_open}
    return {**ids, **more}


@represents(NotificationPreferencesContext)
def preferences(context: NotificationPreferencesContext) -> Representation:
    """What the caller is told of, by which channel, and when not."""
    own = context.preferences
    quiet = own.quiet_hours
    state = {
        "user_id": own.user_id,
        "types": own.types,
        "quiet_hours": None if quiet is None else {
            "start": f"{quiet.start:%H:%M}", "end": f"{quiet.end:%H:%M}", "time_zone": quiet.time_zone
        },
        "date_updated": own.date_updated,
    }  # fmt: skip
    links: Links = {"self": link(PREFERENCES), "up": link("/api/users/me"), "mkt:notifications": link(PATH)}
    return Representation(state, links, context=context, version=own.version)
