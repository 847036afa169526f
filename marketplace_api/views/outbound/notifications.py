"""The caller's notifications, and what they want to be told of."""

from __future__ import annotations

from pyramid.request import Request

from marketplace_api.domain.outbound.notifications import inbox, reading
from marketplace_api.domain.outbound.notifications import preferences as domain
from marketplace_api.hal.outbound import notifications as represent
from marketplace_api.hal.representation import Representation, message
from marketplace_api.resources.outbound.notifications import (
    PATH,
    PREFERENCES,
    NotificationContext,
    NotificationPreferencesContext,
    NotificationsContext,
)
from marketplace_api.schemas.outbound import notifications as schemas
from marketplace_api.security.permissions import Permission as P
from marketplace_api.views.negotiation import expected_version, page_request
from marketplace_api.views.service import Service

ONE = f"{PATH}/{{notification_id}}"
collection = Service("notifications", PATH, NotificationsContext)
all_read = Service("notifications-read", f"{PATH}/read-all", NotificationsContext, on=PATH)
item = Service("notification", ONE, NotificationContext)
reading_one = Service("notification-read", f"{ONE}/read", NotificationContext, on=ONE)
wanted = Service("notification-preferences", PREFERENCES, NotificationPreferencesContext)


@collection.operation(
    "GET",
    "list-notifications",
    P.NOTIFICATION_LIST,
    title="Your notifications",
    query=schemas.ListNotifications,
    result="notifications",
    description="Unread messages of one conversation share a notification, which counts them.",
)
def find(request: Request) -> Representation:
    query = request.query
    page, unread = reading.list_page(
        request.db, request.actor.user_id, page_request(query), unread_only=query["unread"]
    )
    return represent.notifications(request, page, unread, request.context, query["fields"])


@all_read.operation("POST", "read-all", P.NOTIFICATION_KEEP, title="Mark all as read", result="message")
def mark_all_read(request: Request) -> Representation:
    inbox.mark_all_read(request.db, request.actor)
    return message("All notifications marked as read", PATH)


@item.operation(
    "GET",
    "read-notification",
    P.NOTIFICATION_READ,
    title="Read a notification",
    query=schemas.ReadNotification,
    result="notification",
    description="To look at it does not mark it as read.",
)
def read(request: Request) -> Representation:
    return represent.notification(request.context, request.query["fields"])


@reading_one.operation("POST", "read", P.NOTIFICATION_KEEP, title="Mark as read", result="message")
def mark_read(request: Request) -> Representation:
    context = request.context
    inbox.mark_read(request.db, request.actor, context.row.notification_id)
    return message("Notification marked as read", context.path)


@item.operation("DELETE", "dismiss", P.NOTIFICATION_KEEP, title="Dismiss", result="message")
def dismiss(request: Request) -> Representation:
    inbox.dismiss(request.db, request.actor, request.context.row.notification_id)
    return message("Notification dismissed", PATH)


@wanted.operation(
    "GET", "read-preferences", P.PREFERENCES_READ, title="What you are told of", result="notification_preferences"
)
def read_preferences(request: Request) -> Representation:
    return represent.preferences(request.context)


@wanted.operation(
    "PUT",
    "edit",
    P.PREFERENCES_EDIT,
    title="Choose what you are told of",
    body=schemas.EditPreferences,
    result="notification_preferences",
    description="Replaces each of `types`, `quiet_hours` and `digest` that it names: types, channels and fields left out"
    " in it are as for those who never chose. Which of the three it does not name stays; `PATCH` merges. Quiet hours and the"
    " digest hold for what leaves the house; in the application notifications come at once.",
)
def replace_preferences(request: Request) -> Representation:
    return _chosen(request, merge=False)


@wanted.operation(
    "PATCH",
    "edit",
    P.PREFERENCES_EDIT,
    title="Change what you are told of",
    body=schemas.MergePreferences,
    result="notification_preferences",
    description="A merge patch (RFC 7396): types, channels and fields that are not named stay as they are, and `null` is"
    " back to the default, as for those who never chose: no quiet hours, no digest. Quiet hours have all of their fields"
    " or none, so their first choice names all three.",
)
def merge_preferences(request: Request) -> Representation:
    return _chosen(request, merge=True)


def _chosen(request: Request, *, merge: bool) -> Representation:
    version = expected_version(request)
    domain.change(request.db, request.actor, changes=request.validated, expected_version=version, merge=merge)
    return represent.preferences(request.context.refreshed())
