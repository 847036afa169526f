"""Verifications in the tree: the caller's own at ``/api/users/me/verification``, the moderators' queue, and one of it."""

from __future__ import annotations

from typing import Any

from pyramid.authorization import Allow, Deny
from pyramid.request import Request

from marketplace_api.domain.trust.verifications import queries, workflow
from marketplace_api.domain.trust.verifications.documents import deleted
from marketplace_api.errors import DomainError
from marketplace_api.resources.base import ACL, Context, identifier, known_caller
from marketplace_api.resources.reify import reify
from marketplace_api.security.permissions import Permission as P
from marketplace_api.security.principals import MODERATOR, owner, reader

DECISIVE = (P.VERIFICATION_OPEN, P.VERIFICATION_DECIDE)


class OwnVerificationContext(Context):
    """``/api/users/me/verification``: where the caller's own verification stands, also before there is any."""

    @reify
    def row(self) -> Any | None:
        """The caller's newest verification."""
        return queries.latest(self.request.db, self.request.actor.user_id or 0)

    @property
    def status(self) -> str:
        return workflow.status_of(self.row)

    @property
    def __acl__(self) -> ACL:  # type: ignore[override]
        user_id = self.request.actor.user_id
        if user_id is None:
            return []
        return [(Allow, reader(user_id), (P.VERIFICATION_READ,)), (Allow, owner(user_id), (P.VERIFICATION_SUBMIT,))]

    def unavailable(self, operation: str) -> DomainError:
        return workflow.refused(self.status, operation, self.path)


class VerificationContext(Context):
    """One verification as moderators see it; to all others it is not there."""

    conceal = True
    read_permission = P.VERIFICATION_REVIEW

    def __init__(self, request: Request, parent: Context | None, name: str, row: Any) -> None:
        super().__init__(request, parent, name)
        self.path = f"/api/moderation/verifications/{name}"
        self.row = row

    @property
    def version(self) -> int:
        return int(self.row.version)

    @property
    def has_document(self) -> bool:
        return self.row.documents_purged_at is None

    def with_row(self, row: Any) -> VerificationContext:
        """The same place in the tree with a newer row."""
        return VerificationContext(self.request, self.__parent__, self.__name__, row)

    def refreshed(self) -> VerificationContext:
        """This verification as it is in the database now."""
        return self.with_row(queries.find(self.request.db, self.row.verification_id))

    @property
    def __acl__(self) -> ACL:  # type: ignore[override]
        return [
            (Deny, owner(self.row.user_id), DECISIVE),  # nobody judges themselves
            (Allow, MODERATOR, (P.VERIFICATION_REVIEW, *DECISIVE)),
        ]

    def unavailable(self, operation: str) -> DomainError:
        if operation == "open-document":
            return deleted()
        return workflow.refused(self.row.status, operation, self.path)


class VerificationsContext(Context):
    """``/api/moderation/verifications``."""

    __acl__ = [(Allow, MODERATOR, (P.VERIFICATION_REVIEW,))]

    def __getitem__(self, name: str) -> Context:
        known_caller(self.request, "verifications are for moderators")
        row = queries.find(self.request.db, identifier(name))
        if row is None:
            raise KeyError(name)
        return VerificationContext(self.request, self, name, row)
