"""Where the pictures of people are fetched."""

from __future__ import annotations

from pyramid.request import Request

from marketplace_api.domain.identity.accounts import pictures


def picture_url(request: Request, stored: str | None) -> str | None:
    """Where somebody's picture is fetched, whole, so that the account may be sent back as it was read."""
    return pictures.address(request.registry.pictures_url, stored)
