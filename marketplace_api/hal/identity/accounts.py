"""Accounts as they go out: tokens, one's own account, public profiles, sessions."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pyramid.request import Request

from marketplace_api.domain.identity.accounts import profiles
from marketplace_api.domain.identity.accounts.sessions import TokenPair
from marketplace_api.domain.kernel.paging import Page
from marketplace_api.hal.identity.pictures import picture_url
from marketplace_api.hal.paging import collection
from marketplace_api.hal.registry import added_links, represents
from marketplace_api.hal.representation import HAL_FORMS, Representation, link
from marketplace_api.resources.identity.accounts import (
    AuthContext,
    MeContext,
    SessionContext,
    SessionsContext,
    UserContext,
)
from marketplace_api.security.permissions import Permission
from marketplace_api.security.policy import may

BOUNCING = (
    "Mail to this address came back, so that you are only sent what guards your account. "
    "Have the confirmation mail sent again, or change the address."
)


def token_pair(pair: TokenPair) -> Representation:
    """The answer to registering, logging in and refreshing."""
    state = {
        "user_id": pair.user.user_id,
        "username": pair.user.username,
        "email": pair.user.email,
        "token": pair.token,
        "refresh_token": pair.refresh_token,
        "token_type": pair.token_type,
        "expires_in": pair.expires_in,
    }
    links = {
        "self": link("/api/users/me"),
        "mkt:me": link("/api/users/me"),
        "mkt:sessions": link("/api/auth/sessions"),
        "up": link("/api"),
    }
    return Representation(state, links)


@represents(MeContext)
def me(context: MeContext, fields: Collection[str] = ()) -> Representation:
    """The caller's own account."""
    row = context.row
    state = {
        "user_id": row.user_id,
        "username": row.username,
        "email": row.email,
        "pending_email": row.pending_email,
        "is_email_confirmed": row.email_confirmed_at is not None,
        "email_problem": None if row.email_bounced_at is None else BOUNCING,
        "profile_picture_url": picture_url(context.request, row.profile_picture_url),
        "bio": row.bio,
        "date_joined": row.date_joined,
        "last_login": row.last_login,
        "is_verified": row.is_verified,
        "contact_information": row.contact_information,
        "roles": sorted(row.roles),
        "state": row.state,
        "state_reason": row.state_reason,
        "suspended_until": row.suspended_until,
        "rating_average": _average(row),
        "rating_count": row.rating_count,
    }
    links = {
        "self": link("/api/users/me"),
        "mkt:profile": link(f"/api/users/{row.user_id}"),
        "mkt:my-listings": link("/api/users/me/listings"),
        "mkt:bookmarks": link("/api/users/me/bookmarks"),
        "mkt:conversations": link("/api/conversations"),
        "mkt:blocks": link("/api/users/me/blocks"),
        "mkt:verification": link("/api/users/me/verification"),
        "mkt:notifications": link("/api/notifications"),
        "mkt:notification-preferences": link("/api/users/me/notification-preferences"),
        "mkt:phone": link("/api/users/me/phone"),
        "mkt:push-subscriptions": link("/api/users/me/push-subscriptions"),
        "mkt:sessions": link("/api/auth/sessions"),
        "mkt:export": link("/api/users/me/export"),
        "up": link("/api"),
    }
    auth = AuthContext.seen_from(context, "/api/auth/resend-verification")
    if context.awaits_confirmation and may(context.request.actor, auth, Permission.EMAIL_RESEND):
        links["mkt:resend-verification"] = link("/api/auth/resend-verification", title="Send the mail again")
    shown = {n: v for n, v in state.items() if n in fields or n == "user_id"} if fields else state
    return Representation(
        shown, links, context=context, values=state, version=row.version, last_modified=row.date_updated
    )


@represents(UserContext)
def user(context: UserContext, fields: Collection[str] = ()) -> Representation:
    """A public profile."""
    shown = _public(context.request, context.row, fields)
    shown.links |= {
        "mkt:listings": link(f"{context.path}/listings"),
        "mkt:reviews": link(f"{context.path}/reviews"),
        "up": link("/api"),
    }
    shown.links |= added_links(context)
    shown.context, shown.last_modified, shown.is_public = context, context.row.date_updated, True
    return shown


def public_users(request: Request, user_ids: Collection[int]) -> dict[int, Representation]:
    """Public profiles by id, for embedding; who is gone is left out."""
    return {row.user_id: _public(request, row) for row in profiles.find_many_public(request.db, user_ids)}


def _public(request: Request, row: Any, fields: Collection[str] = ()) -> Representation:
    state = {
        "user_id": row.user_id,
        "username": row.username,
        "profile_picture_url": picture_url(request, row.profile_picture_url),
        "bio": row.bio,
        "date_joined": row.date_joined,
        "is_verified": row.is_verified,
        "rating_average": _average(row),
        "rating_count": row.rating_count,
    }
    shown = {n: v for n, v in state.items() if n in fields or n == "user_id"} if fields else state
    return Representation(shown, {"self": link(f"/api/users/{row.user_id}")})


def sessions(request: Request, page: Page, context: SessionsContext) -> Representation:
    """The caller's open sessions."""
    with_forms = request.media == HAL_FORMS
    items = [
        _session(row, request, SessionContext(request, context, str(row.session_id), row) if with_forms else None)
        for row in page.items
    ]
    return collection(request, "sessions", items, page, context.path, context=context)


@represents(SessionContext)
def session(context: SessionContext) -> Representation:
    """One session of the caller's."""
    return _session(context.row, context.request, context)


def _session(row: Any, request: Request, context: SessionContext | None) -> Representation:
    state = {
        "session_id": row.session_id,
        "device": row.device,
        "address": row.address,
        "date_created": row.date_created,
        "last_used": row.last_used,
        "expires_at": row.expires_at,
        "current": row.session_id == request.actor.session_id,
    }
    links = {"self": link(f"/api/auth/sessions/{row.session_id}"), "collection": link("/api/auth/sessions")}
    return Representation(state, links, context=context)


def _average(row: Any) -> float | None:
    return round(row.rating_sum / row.rating_count, 2) if row.rating_count else None
