"""Accounts as those see them who look after the marketplace; e-mail addresses in full for admins only."""

from __future__ import annotations

from typing import Any

from pyramid.request import Request

from marketplace_api.domain.identity.accounts import admin_search
from marketplace_api.domain.kernel.paging import Page
from marketplace_api.hal.identity.pictures import picture_url
from marketplace_api.hal.paging import collection
from marketplace_api.hal.registry import represents
from marketplace_api.hal.representation import HAL_FORMS, Links, Representation, link
from marketplace_api.resources.identity.account_admin import AccountContext, AccountsContext

ACCOUNTS = "/api/admin/users"
_OPEN = ("active", "suspended")


@represents(AccountContext)
def account(context: AccountContext) -> Representation:
    """One account in whatever state."""
    row, actor = context.row, context.request.actor
    shown = _account(context.request, row, context)
    shown.links["mkt:reports"] = link(f"/api/moderation/reports?subject_type=user&subject_id={row.user_id}")
    if actor.administers:
        shown.links["mkt:audit"] = link(f"/api/audit?subject_type=user&subject_id={row.user_id}")
    shown.version, shown.last_modified = row.version, row.date_updated
    return shown


def accounts(request: Request, page: Page, context: AccountsContext) -> Representation:
    """One part of the accounts."""
    with_forms = request.media == HAL_FORMS
    items = [
        _account(request, row, AccountContext(request, None, str(row.user_id), row) if with_forms else None)
        for row in page.items
    ]
    shown = collection(request, "users", items, page, ACCOUNTS, context=context)
    shown.links["up"] = link("/api")
    return shown


def _account(request: Request, row: Any, context: AccountContext | None) -> Representation:
    state = {
        "user_id": row.user_id,
        "username": row.username,
        "email": row.email if request.actor.administers else admin_search.masked(row.email),
        "is_email_confirmed": row.email_confirmed_at is not None,
        "profile_picture_url": picture_url(request, row.profile_picture_url),
        "bio": row.bio,
        "roles": sorted(row.roles),
        "state": row.state,
        "state_reason": row.state_reason,
        "suspended_until": row.suspended_until,
        "is_verified": row.is_verified,
        "date_joined": row.date_joined,
        "last_login": row.last_login,
        "deactivated_at": row.deactivated_at,
        "rating_average": round(row.rating_sum / row.rating_count, 2) if row.rating_count else None,
        "rating_count": row.rating_count,
    }
    links: Links = {"self": link(f"{ACCOUNTS}/{row.user_id}"), "collection": link(ACCOUNTS)}
    if row.state in _OPEN:
        links["mkt:profile"] = link(f"/api/users/{row.user_id}")
    return Representation(state, links, context=context)
