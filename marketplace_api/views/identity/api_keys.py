"""Keys with which programs call."""

from __future__ import annotations

from pyramid.request import Request

from marketplace_api.domain.identity import api_keys
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.hal.identity import api_keys as represent
from marketplace_api.hal.representation import Representation
from marketplace_api.resources.identity.api_keys import API_KEYS, ApiKeyContext, ApiKeysContext
from marketplace_api.schemas.identity import api_keys as schemas
from marketplace_api.security.permissions import Permission
from marketplace_api.views.negotiation import page_request
from marketplace_api.views.service import Service

collection = Service("api-keys", API_KEYS, ApiKeysContext)
item = Service("api-key", f"{API_KEYS}/{{api_key_id}}", ApiKeyContext)


def _stands(context: ApiKeyContext, _actor: Actor) -> bool:
    return context.row.revoked_at is None


@collection.operation(
    "GET", "list-api-keys", Permission.KEY_MANAGE, title="API keys", query=schemas.ListKeys, result="api_keys"
)
def find(request: Request) -> Representation:
    return represent.api_keys(request, api_keys.list_page(request.db, page_request(request.query)), request.context)


@collection.operation(
    "POST",
    "issue-api-key",
    Permission.KEY_MANAGE,
    title="Issue an API key",
    body=schemas.IssueKey,
    success=201,
    result="issued_api_key",
    description="The key itself is in this answer only: it is kept as a hash.",
)
def issue(request: Request) -> Representation:
    row, token = api_keys.issue(request.db, request.actor, **request.validated)
    return represent.issued(ApiKeyContext(request, request.context, str(row.api_key_id), row), token)


@item.operation("GET", "read-api-key", Permission.KEY_MANAGE, title="Read an API key", result="api_key")
def read(request: Request) -> Representation:
    return represent.api_key(request.context)


@item.operation(
    "DELETE",
    "revoke-api-key",
    Permission.KEY_MANAGE,
    title="Revoke an API key",
    applies=_stands,
    result="api_key",
    description="From now on nobody is let in by it; it stays in the list.",
)
def revoke(request: Request) -> Representation:
    row = api_keys.revoke(request.db, request.actor, request.context.row.api_key_id)
    return represent.api_key(ApiKeyContext(request, None, str(row.api_key_id), row))
