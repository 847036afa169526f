"""Notifications and their preferences as they go out: in words, with links to what they are about as long as it is there."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pyramid.request import Request

from marketplace_api.domain.kernel.paging import Page
from marketplace_api.domain.outbound.notifications.content import text_of
from marketplace_api.domain.outbound.notifications.subjects import SUBJECTS
from marketplace_api.domain.outbound.notifications.types import NotificationType as T
from marketplace_api.hal.paging import collection
from marketplace_api.hal.registry import represents
from marketplace_api.hal.representation import HAL_FORMS, Links, Representation, link
from marketplace_api.resources.outbound.notifications import (
    PATH,
    PREFERENCES,
    NotificationContext,
    NotificationPreferencesContext,
    NotificationsContext,
)

_IDS = ("actor_id", "listing_id", "conversation_id", "review_id", "session_id")
_PRICES = ("previous_price", "price", "currency")


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
    name, place = SUBJECTS[T(row.type)]
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
    path = place(row)
    about = None if path is None else f"/api{path}"
    return Representation(shown, _links(seen, about), context=context, values=values)


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
        "quiet_hours": None
        if quiet is None
        else {"start": f"{quiet.start:%H:%M}", "end": f"{quiet.end:%H:%M}", "time_zone": quiet.time_zone},
        "digest": {
            "enabled": own.digest.enabled,
            "time": f"{own.digest.time:%H:%M}",
            "time_zone": own.digest.time_zone,
        },
        "date_updated": own.date_updated,
    }
    links: Links = {"self": link(PREFERENCES), "up": link("/api/users/me"), "mkt:notifications": link(PATH)}
    return Representation(state, links, context=context, version=own.version)
