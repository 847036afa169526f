"""Accounts in the tree: ``/api/auth`` and ``/api/users``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pyramid.authorization import Allow, Authenticated
from pyramid.request import Request

from marketplace_api.domain.community.conversations import blocks, policy
from marketplace_api.domain.community.reviews import queries as review_rows
from marketplace_api.domain.identity.accounts import admins, pictures, profiles, sessions
from marketplace_api.domain.trust.reports import queries as report_rows
from marketplace_api.errors import DomainError
from marketplace_api.resources.base import ACL, Branch, Context, everyone, identifier
from marketplace_api.resources.reify import reify
from marketplace_api.security.permissions import Permission
from marketplace_api.security.principals import owner, reader


class SessionContext(Context):
    """One session; the tree only holds the caller's own."""

    conceal = True

    def __init__(self, request: Request, parent: Context, name: str, row: Any) -> None:
        super().__init__(request, parent, name)
        self.row = row
        self.__acl__ = [(Allow, reader(row.user_id), (Permission.SESSION_LIST, Permission.SESSION_END))]


class SessionsContext(Context):
    """``/api/auth/sessions``."""

    __acl__ = [(Allow, Authenticated, (Permission.SESSION_LIST, Permission.SESSION_END))]

    def __getitem__(self, name: str) -> Context:
        row = sessions.find_own(self.request.db, self.request.actor, identifier(name))
        if row is None:
            raise KeyError(name)
        return SessionContext(self.request, self, name, row)


class AuthContext(Branch):
    """``/api/auth``: what a caller may do before and after being known."""

    __acl__ = [
        *everyone(
            Permission.API_READ,
            Permission.ACCOUNT_REGISTER,
            Permission.SESSION_BEGIN,
            Permission.PASSWORD_RESET,
            Permission.EMAIL_CONFIRM,
        ),
        (Allow, Authenticated, (Permission.SESSION_END, Permission.ACCOUNT_READ)),
        (Allow, "role:customer", (Permission.EMAIL_RESEND,)),
    ]
    children = {"sessions": SessionsContext}
    page: Context | None = None
    """Where an operation of this context is offered, if not at its own address."""

    @classmethod
    def seen_from(cls, page: Context, path: str) -> Context:
        context = cls(page.request, page, path.rsplit("/", 1)[-1])
        context.page = page
        return context

    def me(self) -> MeContext:
        """The caller's own account, as ``/api/users/me`` has it."""
        if isinstance(self.page, MeContext):
            return self.page
        context = MeContext(self.request, self, "me")
        context.path = "/api/users/me"
        return context


class MeContext(Context):
    """``/api/users/me``: the caller's own account; nothing for callers who are not known."""

    children: ClassVar[dict[str, type[Context]]] = {}
    """What hangs below it is of higher contexts; the root of the tree fills it in."""

    def __init__(self, request: Request, parent: Context | None, name: str) -> None:
        super().__init__(request, parent, name)
        self.user_id: int | None = request.actor.user_id

    def __getitem__(self, name: str) -> Context:
        return self.children[name](self.request, self, name)

    @reify
    def row(self) -> Any:
        """The account's own row."""
        return profiles.find_own(self.request.db, self.user_id)

    @property
    def awaits_confirmation(self) -> bool:
        """Whether an address of the account waits to be confirmed."""
        row = self.row
        return row.email_confirmed_at is None or row.pending_email is not None or row.email_bounced_at is not None

    @reify
    def is_last_admin(self) -> bool:
        """Whether there would be no active admin without the caller; only admins are asked about."""
        actor = self.request.actor
        return actor.administers and admins.is_last(self.request.db, actor)

    @property
    def version(self) -> int:
        return int(self.row.version)

    @property
    def stored_fields(self) -> Mapping[str, Any]:
        row = self.row
        picture = pictures.address(self.request.registry.pictures_url, row.profile_picture_url)
        own = {name: getattr(row, name) for name in ("username", "email", "bio", "contact_information")}
        return {**own, "profile_picture_url": picture}

    def unavailable(self, operation: str) -> DomainError:
        return admins.last_admin() if operation == "deactivate" else super().unavailable(operation)

    def refreshed(self) -> MeContext:
        """The account as it is in the database now."""
        return MeContext(self.request, self.__parent__, self.__name__)

    @property
    def __acl__(self) -> ACL:  # type: ignore[override]
        if self.user_id is None:
            return []
        return [
            (
                Allow,
                reader(self.user_id),
                (Permission.ACCOUNT_READ, Permission.ACCOUNT_EXPORT, Permission.LISTING_READ),
            ),
            (Allow, owner(self.user_id), (Permission.ACCOUNT_EDIT, Permission.ACCOUNT_DEACTIVATE)),
        ]


class UserContext(Context):
    """``/api/users/{user_id}``: a public profile."""

    __acl__ = everyone(Permission.PROFILE_READ, Permission.LISTING_SEARCH)

    def __init__(self, request: Request, parent: Context, name: str, row: Any) -> None:
        super().__init__(request, parent, name)
        self.row = row
        self.person_id: int = row.user_id

    @reify
    def can_message(self) -> bool:
        """Whether the caller may write to this person."""
        return self.person_id in policy.reachable(self.request.db, self.request.actor, [self.person_id])

    @reify
    def is_blocked(self) -> bool:
        """Whether the caller has blocked this person."""
        caller = self.request.actor.user_id
        return caller is not None and blocks.find(self.request.db, caller, self.person_id) is not None

    @property
    def can_block(self) -> bool:
        return not self.is_blocked

    @reify
    def reported(self) -> bool:
        """Whether the caller has reported this person."""
        found = report_rows.reported_by(self.request.db, self.request.actor.user_id, "user", [self.row.user_id])
        return bool(found)

    @reify
    def own_review(self) -> int | None:
        """The caller's review of this person."""
        caller, user_id = self.request.actor.user_id, self.row.user_id
        return review_rows.standing(self.request.db, caller, "reviewee_id", [user_id]).get(user_id)

    @reify
    def review_obstacle(self) -> str | None:
        """What stands between the caller and a review of this person, apart from what was reviewed before."""
        rules, user_id = self.request.registry.review_rules, self.row.user_id
        return review_rows.obstacles(self.request.db, self.request.actor, rules, [user_id]).get(user_id)


class UsersContext(Context):
    """``/api/users``."""

    def __getitem__(self, name: str) -> Context:
        if name == "me":
            return MeContext(self.request, self, name)
        row = profiles.find_public(self.request.db, identifier(name))
        if row is None:
            raise KeyError(name)
        return UserContext(self.request, self, name, row)
