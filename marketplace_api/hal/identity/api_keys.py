"""Keys of programs as admins see them; the key itself is in the answer that made it, and nowhere else."""

from __future__ import annotations

from typing import Any

from pyramid.request import Request

from marketplace_api.domain.kernel.paging import Page
from marketplace_api.hal.paging import collection
from marketplace_api.hal.registry import represents
from marketplace_api.hal.representation import Links, Representation, link
from marketplace_api.resources.identity.api_keys import API_KEYS, ApiKeyContext, ApiKeysContext


@represents(ApiKeyContext)
def api_key(context: ApiKeyContext) -> Representation:
    """One key."""
    row = context.row
    state: dict[str, Any] = {
        "api_key_id": row.api_key_id,
        "name": row.name,
        "scopes": row.scopes,
        "created_by": row.created_by,
        "date_created": row.date_created,
        "last_used": row.last_used,
        "expires_at": row.expires_at,
        "revoked_at": row.revoked_at,
    }
    links: Links = {"self": link(f"{API_KEYS}/{row.api_key_id}"), "collection": link(API_KEYS)}
    return Representation(state, links, context=context)


def issued(context: ApiKeyContext, token: str) -> Representation:
    """A key that was just made, with what its holder sends."""
    shown = api_key(context)
    shown.state["key"] = token
    return shown


def api_keys(request: Request, page: Page, context: ApiKeysContext) -> Representation:
    """One part of the keys."""
    items = [api_key(ApiKeyContext(request, None, str(row.api_key_id), row)) for row in page.items]
    shown = collection(request, "api_keys", items, page, API_KEYS, context=context)
    shown.links["up"] = link("/api")
    return shown
