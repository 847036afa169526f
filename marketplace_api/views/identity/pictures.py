"""The picture of an account."""

from __future__ import annotations

from pyramid.request import Request

from marketplace_api.domain.identity.accounts import pictures
from marketplace_api.hal.identity import accounts
from marketplace_api.hal.representation import Representation
from marketplace_api.resources.identity.accounts import MeContext
from marketplace_api.schemas.identity.pictures import PICTURE
from marketplace_api.security.permissions import Permission as P
from marketplace_api.views.negotiation import expected_version
from marketplace_api.views.service import Service

picture = Service("me-picture", "/api/users/me/picture", MeContext, on="/api/users/me", limits="upload")


@picture.operation(
    "POST",
    "set-picture",
    P.ACCOUNT_EDIT,
    title="Send a picture of yourself",
    upload=PICTURE,
    result="me",
    description="A JPEG, PNG or WebP; the square in its middle is encoded anew, without metadata.",
)
def set_picture(request: Request) -> Representation:
    registry, user_id = request.registry, request.actor.user_id
    pictures.replace(
        request.db,
        registry.databases,
        registry.storage,
        request.actor,
        user_id,
        stream=request.upload.stream,
        expected_version=expected_version(request),
    )
    return accounts.me(request.context.refreshed())


@picture.operation("DELETE", "remove-picture", P.ACCOUNT_EDIT, title="Remove your picture", result="me")
def remove_picture(request: Request) -> Representation:
    pictures.remove(request.db, request.actor, request.actor.user_id, expected_version=expected_version(request))
    return accounts.me(request.context.refreshed())
