"""The caller's notifications in the tree: ``/api/notifications`` and ``/api/users/me/notification-preferences``.

The tree only holds the caller's own, so to anybody else they are simply not there.
"""

from __future__ import annotations

from typing import Any

from pyramid.authorization import Allow, Authenticated
from pyramid.request import Request

from marketplace_api.domain.outbound.notifications import preferences, reading
from marketplace_api.domain.outbound.notifications.preferences import Preferences
from marketplace_api.resources.base import ACL, Context, identifier, known_caller
from marketplace_api.resources.reify import reify
from marketplace_api.security.permissions import Permission as P
from marketplace_api.security.principals import CUSTOMER, owner, reader

PATH = "/api/notifications"
PREFERENCES = "/api/users/me/notification-preferences"


class NotificationContext(Context):
    """One notification of the caller's; ``row`` is the light row that its representation is made from."""

    conceal = True
    read_permission = P.NOTIFICATION_READ

    def __init__(self, request: Request, parent: Context | None, name: str, row: Any) -> None:
        super().__init__(request, parent, name)
        self.path = f"{PATH}/{name}"
        self.row = row

    @property
    def __acl__(self) -> ACL:  # type: ignore[override]
        return [
            (Allow, reader(self.row.user_id), (P.NOTIFICATION_READ,)),
            (Allow, owner(self.row.user_id), (P.NOTIFICATION_KEEP,)),
        ]


class NotificationsContext(Context):
    """``/api/notifications``."""

    __acl__ = [(Allow, Authenticated, (P.NOTIFICATION_LIST,)), (Allow, CUSTOMER, (P.NOTIFICATION_KEEP,))]

    def __getitem__(self, name: str) -> Context:
        user_id = known_caller(self.request, "notifications belong to an account")
        row = reading.find(self.request.db, identifier(name), user_id)
        if row is None:
            raise KeyError(name)
        return NotificationContext(self.request, self, name, row)


class NotificationPreferencesContext(Context):
    """``/api/users/me/notification-preferences``; nothing for callers who are not known."""

    read_permission = P.PREFERENCES_READ

    @reify
    def preferences(self) -> Preferences:
        """What the caller chose, filled up with the defaults."""
        return preferences.find(self.request.db, self.request.actor.user_id)

    @property
    def version(self) -> int:
        return self.preferences.version

    def refreshed(self) -> NotificationPreferencesContext:
        """The preferences as they are in the database now."""
        return NotificationPreferencesContext(self.request, self.__parent__, self.__name__)

    @property
    def __acl__(self) -> ACL:  # type: ignore[override]
        user_id = self.request.actor.user_id
        if user_id is None:
            return []
        return [(Allow, reader(user_id), (P.PREFERENCES_READ,)), (Allow, owner(user_id), (P.PREFERENCES_EDIT,))]
