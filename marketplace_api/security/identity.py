"""From an ``Authorization`` header to an :class:`Actor`, once per request."""

from __future__ import annotations

from hmac import compare_digest

from pyramid.request import Request

from marketplace_api.domain.identity import api_keys
from marketplace_api.domain.identity.accounts import sessions
from marketplace_api.domain.kernel.actors import Actor
from marketplace_api.errors import Unauthenticated


def bearer_token(request: Request) -> str | None:
    """The token of ``Authorization: Bearer …`` (RFC 6750); raises :class:`Unauthenticated` for another scheme."""
    header: str | None = request.environ.get("HTTP_AUTHORIZATION")
    if not header:
        return None
    scheme, _, token = header.partition(" ")
    token = token.strip(" \t")  # white space around a field's value is no part of it; anything else is
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated("Use the scheme Bearer: `Authorization: Bearer <token>`.", code="token_invalid")
    return token


def actor_of(request: Request) -> Actor:
    """Who calls. A dead or forged token raises :class:`Unauthenticated`: it never counts as anonymous."""
    token = bearer_token(request)
    if token is None:
        return Actor(request_id=request.id)
    metrics_token = request.registry.app_settings.metrics_token
    if metrics_token and compare_digest(token.encode(), metrics_token.encode()):
        return Actor(username="monitor", roles=frozenset({"monitor"}), request_id=request.id)
    if token.startswith(api_keys.PREFIX):
        return api_keys.identify(request.primary, request.registry.databases, token, request.id)
    claims = request.registry.signing_keys.verify(token)
    replica = request.connection if request.primary is not request.connection else None
    return sessions.identify(request.primary, claims, request.id, replica=replica)
