"""Accounts: one's own and public profiles."""

from __future__ import annotations

from pyramid.request import Request

from marketplace_api.domain.identity.accounts import lifecycle, profiles
from marketplace_api.hal.identity import accounts as represent
from marketplace_api.hal.identity.pictures import picture_url
from marketplace_api.hal.representation import Representation, message
from marketplace_api.resources.identity.accounts import MeContext, UserContext
from marketplace_api.schemas.identity import accounts as schemas
from marketplace_api.security.permissions import Permission as P
from marketplace_api.views.negotiation import expected_version
from marketplace_api.views.service import Service

ME = "/api/users/me"
own = Service("me", ME, MeContext)
password = Service("me-password", f"{ME}/password", MeContext, on=ME, limits="auth")
profile = Service("user", "/api/users/{user_id}", UserContext)


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
    current_password = changes.pop("currentPassword", None)
    profiles.edit_own(
        request.db,
        request.registry.databases,
        request.actor,
        request.registry.account_rules,
        changes=changes,
        current_password=current_password,
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


@profile.operation("GET", "read-user", P.PROFILE_READ, title="Read a profile", query=schemas.ReadUser, result="user")
def read_user(request: Request) -> Representation:
    return represent.user(request.context, request.query["fields"])
