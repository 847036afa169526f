"""All that is held about the caller, to take away."""

from __future__ import annotations

from pyramid.request import Request
from pyramid.response import Response

from marketplace_api.domain.privacy import export as privacy_export
from marketplace_api.hal.representation import JSON
from marketplace_api.resources.identity.accounts import MeContext
from marketplace_api.security.permissions import Permission as P
from marketplace_api.views.responses import document
from marketplace_api.views.service import Service

export = Service("me-export", "/api/users/me/export", MeContext, on="/api/users/me")


@export.operation("GET", "export", P.ACCOUNT_EXPORT, title="Take out your data", result="export")
def take_out(request: Request) -> Response:
    data = privacy_export.collect_own(request.db, request.actor)
    return document(
        data, 200, JSON, [("Cache-Control", "no-store"), ("Content-Disposition", 'attachment; filename="export.json"')]
    )
