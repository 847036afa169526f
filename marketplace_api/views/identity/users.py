"""Accounts: one's own and public profiles."""

from __future__ import annotations

from pyramid.request import Request
from pyramid.response import Response

from marketplace_api.domain.catalog.search import owned
from marketplace_api.domain.identity.accounts import lifecycle, profiles
from marketplace_api.hal.catalog.listings import listings
from marketplace_api.hal.catalog.photos import picture_url
from marketplace_api.hal.identity import accounts as represent
from marketplace_api.hal.representation import JSON, Representation, message
from marketplace_api.resources.identity.accounts import MeContext, UserContext
from marketplace_api.schemas.catalog.listings import ListListings, ListOwnListings
from marketplace_api.schemas.identity import accounts as schemas
from marketplace_api.security.permissions import Permission as P
from marketplace_api.views.negotiation import expected_version, page_request
from marketplace_api.views.responses import document
from marketplace_api.views.service import Service

ME = "/api/users/me"
own = Service("me", ME, MeContext)
password = Service("me-password", f"{ME}/password", MeContext, on=ME, limits="auth")
export = Service("me-export", f"{ME}/export", MeContext, on=ME)
own_listings = Service("me-listings", f"{ME}/listings", MeContext, on=ME)
profile = Service("user", "/api/users/{user_id}", UserContext)
their_listings = Service("user-listings", "/api/users/{user_id}/listings", UserContext, on="/api/users/{user_id}")


@own.operation("GET", "read-me", P.ACCOUNT_READ, title="Read your account", query=schemas.ReadMe, result="me")
def read(request: Request) -> Representation:
    return represent.me(request.context, request.query["fields"])


@own.operation("PUT", "edit", P.ACCOUNT_EDIT, title="Edit your account", body=schemas.EditAccount, result="me")
def replace(request: Request) -> Representation:
    return _edited(request, merge=False)


@own.operation("PATCH", "edit", P.ACCOUNT_EDIT, title="Edit your account", body=schemas.EditAccount, result="me")
def patch(request: Request) -> Representation:
    return _edited(request, merge=True)


def _edited(request: Request, *, merge: bool) -> Representation:
    changes = dict(request.validated)
    shown = picture_url(request, request.context.row.profile_picture_url)
    if changes.get("profile_picture_url", shown) == shown:  # as it was read, which is not as it is stored
        changes.pop("profile_picture_url", None)
    profiles.edit(
        request.db,
        request.actor,
        request.actor.user_id,
        changes=changes,
        expected_version=expected_version(request),
        merge=merge,
    )
    return represent.me(request.context.refreshed())


@own.operation(
    "DELETE",
    "deactivate",
    P.ACCOUNT_DEACTIVATE,
    title="Deactivate your account",
    body=schemas.Deactivate,
    applies=lambda context, _actor: not context.is_last_admin,
    result="message",
)
def deactivate(request: Request) -> Representation:
    erased_at = lifecycle.deactivate(
        request.db,
        request.registry.databases,
        request.actor,
        request.registry.account_rules,
        password=request.validated["password"],
    )
    answer = message("Account deactivated; log in to undo this", "/api")
    answer.state["erased_at"] = erased_at
    return answer


@password.operation(
    "PUT",
    "change-password",
    P.ACCOUNT_EDIT,
    title="Change your password",
    body=schemas.ChangePassword,
    result="message",
)
def change_password(request: Request) -> Representation:
    body = request.validated
    profiles.change_password(
        request.db,
        request.registry.databases,
        request.actor,
        request.registry.account_rules,
        current_password=body["currentPassword"],
        new_password=body["newPassword"],
    )
    return message("Password changed; other sessions ended", ME)


@export.operation("GET", "export", P.ACCOUNT_EXPORT, title="Take out your data", result="export")
def take_out(request: Request) -> Response:
    data = profiles.export(request.db, request.actor)
    return document(
        data, 200, JSON, [("Cache-Control", "no-store"), ("Content-Disposition", 'attachment; filename="export.json"')]
    )


@own_listings.operation(
    "GET", "my-listings", P.ACCOUNT_READ, title="Your listings", query=ListOwnListings, result="listings"
)
def list_own(request: Request) -> Representation:
    wanted = tuple(request.query["status"])
    page = owned(
        request.db,
        request.actor.user_id,
        page_request(request.query),
        include_private=True,
        statuses=tuple(s for s in wanted if s != "deleted") or None,
        deleted="deleted" in wanted,
    )
    return listings(request, page, f"{ME}/listings", fields=request.query["fields"])


@profile.operation("GET", "read-user", P.PROFILE_READ, title="Read a profile", query=schemas.ReadUser, result="user")
def read_user(request: Request) -> Representation:
    return represent.user(request.context, request.query["fields"])


@their_listings.operation(
    "GET", "user-listings", P.LISTING_SEARCH, title="What somebody offers", query=ListListings, result="listings"
)
def list_theirs(request: Request) -> Representation:
    page = owned(
        request.db, request.context.row.user_id, page_request(request.query), include_private=False, statuses=None
    )
    return listings(request, page, f"{request.context.path}/listings", fields=request.query["fields"], is_public=True)
