"""Reports in the tree: ``/api/reports``, where they are made and their makers read them, and the moderators' queue."""

from __future__ import annotations

from typing import Any

from pyramid.authorization import Allow, Deny
from pyramid.request import Request

from marketplace_api.domain.trust.reports import queries, workflow
from marketplace_api.errors import DomainError, Forbidden
from marketplace_api.resources.base import ACL, Context, identifier, known_caller
from marketplace_api.resources.catalog.listings import ListingContext
from marketplace_api.resources.community.conversations import MessageContext
from marketplace_api.resources.community.reviews import ReviewContext
from marketplace_api.resources.identity.accounts import UserContext
from marketplace_api.security.permissions import Permission as P
from marketplace_api.security.principals import CUSTOMER, MODERATOR, owner, reader

SUBJECTS: dict[type[Context], tuple[str, str]] = {
    ListingContext: ("listing", "listing_id"),
    UserContext: ("user", "user_id"),
    MessageContext: ("message", "message_id"),
    ReviewContext: ("review", "review_id"),
}
"""Where reporting is offered, as which type, and what the id is called."""


def _row(request: Request, name: str) -> Any:
    row = queries.find(request.db, identifier(name), known_caller(request, "reports belong to an account"))
    if row is None:
        raise KeyError(name)
    return row


class OwnReportContext(Context):
    """``/api/reports/{report_id}``: a report as who made it may read it."""

    conceal = True
    read_permission = P.REPORT_READ

    def __init__(self, request: Request, parent: Context | None, name: str, row: Any) -> None:
        super().__init__(request, parent, name)
        self.path = f"/api/reports/{name}"
        self.row = row

    @property
    def __acl__(self) -> ACL:  # type: ignore[override]
        made_by = self.row.reporter_id
        return [(Allow, reader(made_by), (P.REPORT_READ,))] if made_by is not None else []


class ReportsContext(Context):
    """``/api/reports``; ``page`` is what the report would be about where making it is offered."""

    __acl__ = [(Allow, CUSTOMER, (P.REPORT_MAKE,))]
    page: Any = None

    @classmethod
    def seen_from(cls, page: Any, path: str) -> ReportsContext:
        context = cls(page.request, page, "reports")
        context.path, context.page = path, page
        kind, key = SUBJECTS[type(page)]
        context.fills = {"subject_type": kind, "subject_id": getattr(page.row, key)}
        return context

    def __getitem__(self, name: str) -> Context:
        return OwnReportContext(self.request, self, name, _row(self.request, name))

    def child(self, row: Any) -> OwnReportContext:
        """The context of a report whose row is already known."""
        return OwnReportContext(self.request, self, str(row.report_id), row)


class ReportContext(Context):
    """``/api/moderation/reports/{report_id}``: a report as moderators work on it.

    To whom it is about it looks absent, moderator or not, for it might tell them who made it.
    """

    read_permission = P.MODERATION_READ

    def __init__(self, request: Request, parent: Context | None, name: str, row: Any) -> None:
        super().__init__(request, parent, name)
        self.path = f"/api/moderation/reports/{name}"
        self.row = row
        self.conceal: bool = request.actor.owns(row.reported_id)  # type: ignore[misc]

    @property
    def version(self) -> int:
        return int(self.row.version)

    def with_row(self, row: Any) -> ReportContext:
        """The same place in the tree with a newer row."""
        return ReportContext(self.request, self.__parent__, self.__name__, row)

    def refreshed(self) -> ReportContext:
        """This report as it is in the database now."""
        return self.with_row(queries.find(self.request.db, self.row.report_id, self.request.actor.user_id))

    @property
    def __acl__(self) -> ACL:  # type: ignore[override]
        made_by, about = self.row.reporter_id, self.row.reported_id
        return [
            (Deny, reader(about), (P.MODERATION_READ, P.REPORT_MODERATE)),
            *([(Deny, owner(made_by), (P.REPORT_MODERATE,))] if made_by is not None else []),
            (Allow, MODERATOR, (P.MODERATION_READ, P.REPORT_MODERATE)),
        ]

    def unavailable(self, operation: str) -> DomainError:
        return workflow.refused(self.row, operation)


class ReportQueueContext(Context):
    """``/api/moderation/reports``."""

    __acl__ = [(Allow, MODERATOR, (P.MODERATION_READ,))]

    def __getitem__(self, name: str) -> Context:
        known_caller(self.request, "reports belong to an account")
        if not self.request.actor.moderates:  # the database would not show them anybody's
            raise Forbidden("The reports of others are for moderators.")
        return ReportContext(self.request, self, name, _row(self.request, name))
