"""Verifications as they go out: the owner's view, the moderators', and their queue. Of documents only the name."""

from __future__ import annotations

from typing import Any

from pyramid.request import Request

from marketplace_api.domain.kernel.paging import Page
from marketplace_api.hal.paging import collection
from marketplace_api.hal.registry import represents
from marketplace_api.hal.representation import HAL_FORMS, Links, Representation, link
from marketplace_api.resources.trust.verifications import (
    OwnVerificationContext,
    VerificationContext,
    VerificationsContext,
)
from marketplace_api.security.permissions import Permission
from marketplace_api.security.policy import may

_DATES = ("date_submitted", "date_decided", "expires_at", "documents_purged_at")


@represents(OwnVerificationContext)
def own(context: OwnVerificationContext) -> Representation:
    """Where the caller's own verification stands."""
    row = context.row
    state: dict[str, Any] = {"status": context.status, "reason": None, **dict.fromkeys(_DATES), "documents": []}
    if row is not None:
        state |= {"reason": row.reason, **_dates(row), "documents": _documents(row)}
    links: Links = {"self": link(context.path), "mkt:me": link("/api/users/me"), "up": link("/api/users/me")}
    return Representation(state, links, context=context)


def receipt(context: OwnVerificationContext, row: Any) -> Representation:
    """The answer to a document that was taken."""
    state = {"message": "Verification documents submitted", "status": row.status}
    return Representation(state, {"mkt:verification": link(context.path), "up": link("/api/users/me")})


@represents(VerificationContext)
def verification(context: VerificationContext) -> Representation:
    """One verification as moderators see it."""
    shown = _verification(context.row, context, with_forms=True)
    shown.version = context.row.version
    return shown


def verifications(request: Request, page: Page, context: VerificationsContext) -> Representation:
    """One page of the queue."""
    with_forms = request.media == HAL_FORMS
    contexts = [VerificationContext(request, context, str(row.verification_id), row) for row in page.items]
    items = [_verification(item.row, item, with_forms=with_forms) for item in contexts]
    return collection(request, "verifications", items, page, context.path, context=context)


def _verification(row: Any, context: VerificationContext, *, with_forms: bool) -> Representation:
    state = {
        "verification_id": row.verification_id,
        "user_id": row.user_id,
        "username": row.username,
        "status": row.status,
        "reason": row.reason,
        "decided_by": row.decided_by,
        **_dates(row),
        "documents": _documents(row),
    }
    return Representation(state, _links(context), context=context if with_forms else None)


def _links(context: VerificationContext) -> Links:
    row = context.row
    links: Links = {"self": link(context.path), "collection": link("/api/moderation/verifications")}
    if row.username is not None:
        links["mkt:profile"] = link(f"/api/users/{row.user_id}")
    if context.has_document and may(context.request.actor, context, Permission.VERIFICATION_OPEN):
        links["mkt:document"] = link(f"{context.path}/document{{?reason}}", templated=True, type=row.media_type)
    return links


def _dates(row: Any) -> dict[str, Any]:
    return {name: getattr(row, name) for name in _DATES}


def _documents(row: Any) -> list[dict[str, str]]:
    return [{"document_type": row.document_type, "name": row.document_name}]
